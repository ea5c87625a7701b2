#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

using Binary = double (*)(double, double);

OpRow binary(std::string name, Shape a, Shape b, Tensor (*op)(const Tensor&, const Tensor&), Binary reference,
             double low = -2) {
  return {std::move(name),
          {{a, low}, {b, low}},
          [op](const Tensors& x) { return op(x[0], x[1]); },
          [reference](const Plains& x) { return mapped(x[0], x[1], reference); }};
}

/// An op on every pair of shapes that broadcasts in another way.
std::vector<OpRow> on_shapes(const char* name, Tensor (*op)(const Tensor&, const Tensor&), Binary reference,
                             double low = -2) {
  const std::pair<Shape, Shape> pairs[] = {{{3, 5}, {3, 5}}, {{3, 5}, {5}},    {{3, 1}, {1, 4}}, {{2, 3, 5}, {3, 1}},
                                           {{}, {3, 2}},     {{7}, {}},        {{1}, {1}},       {{}, {}},
                                           {{0, 3}, {3}},    {{2, 0}, {1, 1}}, {{1, 3}, {0, 3}}};
  std::vector<OpRow> rows;
  for (const auto& [a, b] : pairs)
    rows.push_back(binary(std::string(name) + a.text() + b.text(), a, b, op, reference, low));
  rows.front().large = {{{130, 515}, low}, {{515}, low}};
  return rows;
}

using Scalar = Tensor (*)(const Tensor&);

OpRow unary(std::string name, Scalar op, double (*reference)(double), double low = -2, double high = 2,
            Shape shape = {3, 5}) {
  return {std::move(name),
          {{shape, low, high}},
          [op](const Tensors& x) { return op(x[0]); },
          [reference](const Plains& x) { return mapped(x[0], reference); },
          0,
          true,
          true,
          {{{70, 1031}, low, high}}};
}

}  // namespace

TEST_CASE("op rows: arithmetic of two tensors with broadcasting") {
  check(on_shapes("add", operator+, [](double a, double b) { return a + b; }));
  check(on_shapes("subtract", operator-, [](double a, double b) { return a - b; }));
  check(on_shapes("multiply", operator*, [](double a, double b) { return a * b; }));
  check(on_shapes(
      "divide", operator/, [](double a, double b) { return a / b; }, 0.5));
  check(on_shapes("maximum", maximum, [](double a, double b) { return std::fmax(a, b); }));
  check(on_shapes("minimum", minimum, [](double a, double b) { return std::fmin(a, b); }));
}

TEST_CASE("op rows: arithmetic with a number") {
  check({
      unary(
          "x+3", [](const Tensor& x) { return x + 3.0; }, [](double x) { return x + 3; }),
      unary(
          "x-3", [](const Tensor& x) { return x - 3.0; }, [](double x) { return x - 3; }),
      unary(
          "x*3", [](const Tensor& x) { return x * 3.0; }, [](double x) { return x * 3; }),
      unary(
          "x/3", [](const Tensor& x) { return x / 3.0; }, [](double x) { return x / 3; }),
      unary(
          "3+x", [](const Tensor& x) { return 3.0 + x; }, [](double x) { return 3 + x; }),
      unary(
          "3-x", [](const Tensor& x) { return 3.0 - x; }, [](double x) { return 3 - x; }),
      unary(
          "3*x", [](const Tensor& x) { return 3.0 * x; }, [](double x) { return 3 * x; }),
      unary(
          "3/x", [](const Tensor& x) { return 3.0 / x; }, [](double x) { return 3 / x; }, 0.5),
      unary(
          "-x", [](const Tensor& x) { return -x; }, [](double x) { return -x; }),
  });
}

TEST_CASE("op rows: functions of one tensor") {
  std::vector<OpRow> rows;
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{1}, Shape{0, 3}, Shape{7}}) {
    for (OpRow& row : std::vector<OpRow>{
             unary(
                 "pow2", [](const Tensor& x) { return pow(x, 2); }, [](double x) { return x * x; }),
             unary(
                 "pow3", [](const Tensor& x) { return pow(x, 3); }, [](double x) { return x * x * x; }),
             unary(
                 "pow-0.5", [](const Tensor& x) { return pow(x, -0.5); }, [](double x) { return 1 / std::sqrt(x); },
                 0.5),
             unary(
                 "pow0", [](const Tensor& x) { return pow(x, 0); }, [](double) { return 1.0; }),
             unary("abs", abs, [](double x) { return std::fabs(x); }),
             unary("exp", exp, [](double x) { return std::exp(x); }),
             unary(
                 "log", log, [](double x) { return std::log(x); }, 0.5),
             unary(
                 "sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0.5),
             unary("sin", sin, [](double x) { return std::sin(x); }),
             unary("cos", cos, [](double x) { return std::cos(x); }),
             unary("relu", relu, [](double x) { return std::fmax(x, 0.0); }),
             unary("relu_bits", relu_bits, [](double x) { return std::fmax(x, 0.0); }),
             unary(
                 "leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.2); },
                 [](double x) { return x > 0 ? x : 0.2 * x; }),
             unary("sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }),
             unary("tanh", tanh, [](double x) { return std::tanh(x); }),
             unary("gelu", gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }),
             unary("silu", silu, [](double x) { return x / (1 + std::exp(-x)); }),
             unary("gelu_tanh", gelu_tanh,
                   [](double x) {
                     return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
                   }),
             unary(
                 "elu", [](const Tensor& x) { return elu(x, 0.7); },
                 [](double x) { return x > 0 ? x : 0.7 * std::expm1(x); }),
             unary(
                 "softplus", [](const Tensor& x) { return softplus(x, 2.5); },
                 [](double x) { return std::log1p(std::exp(2.5 * x)) / 2.5; }),
             unary(
                 "hardswish", hardswish, [](double x) { return x * std::fmin(std::fmax(x + 3, 0.0), 6.0) / 6; }, -5, 5),
             unary(
                 "mish", mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, -6, 6),
             unary("sign", sign, [](double x) { return static_cast<double>((x > 0) - (x < 0)); }),
             unary(
                 "clamp", [](const Tensor& x) { return clamp(x, -1.003, 0.0); },
                 [](double x) { return std::fmin(std::fmax(x, -1.003), 0.0); }),
         }) {
      row.inputs[0].shape = shape;
      row.name += shape.text();
      if (shape.rank() != 2) row.large.clear();
      rows.push_back(row);
    }
  }
  check(rows);
}

TEST_CASE("op rows: prelu") {
  const auto row = [](const Shape& shape, const Shape& weight) {
    return OpRow{"prelu " + shape.text() + weight.text(),
                 {{shape}, {weight}},
                 [](const Tensors& x) { return prelu(x[0], x[1]); },
                 [](const Plains& x) {
                   return filled(x[0].sizes, [&](const Index& index) {
                     const double slope = x[1].values[x[1].values.size() == 1 ? 0 : static_cast<std::size_t>(index[1])];
                     return x[0].at(index) * (x[0].at(index) > 0 ? 1 : slope);
                   });
                 }};
  };
  std::vector<OpRow> rows{row({2, 3, 4}, {3}), row({2, 3, 4}, {1}), row({2, 3, 2, 2}, {3}), row({5}, {1}),
                          row({}, {}),         row({3, 2}, {2}),    row({0, 3, 2}, {3})};
  rows[0].large = {{{9, 20, 700}}, {{20}}};
  check(rows);
}

TEST_CASE("prelu keeps x and its weight, has the dtype of x, and says what does not fit") {
  const Tensor x = tensor<double>({-2, 0, 3, -4}, {2, 2}, "cpu", true),
               weight = tensor<double>({0.5, -1}, {2}, "cpu", true);
  const Tensor y = prelu(x, weight);
  CHECK(y.values<double>() == std::vector<double>{-1, 0, 3, 4});
  y.backward(tensor<double>({1, 2, 3, 4}, {2, 2}));
  CHECK(x.grad().values<double>() == std::vector<double>{0.5, -2, 3, -4});
  CHECK(weight.grad().values<double>() == std::vector<double>{-2, -16});
  const Tensor slope = full({1}, 0.25, {.requires_grad = true});
  const Tensor half = prelu(full({4, 2}, -2, {.dtype = DType::bfloat16}), slope);
  CHECK(half.dtype() == DType::bfloat16);
  CHECK(half.values<double>() == std::vector<double>(8, -0.5));
  sum(half).backward();
  CHECK(slope.grad().dtype() == DType::float32);
  CHECK(slope.grad().item() == -16);
  const Device device = Device::open("virtual:cpu");
  const Tensor leaf = zeros({64, 128}, {.device = device, .requires_grad = true}),
               slopes = zeros({128}, {.device = device, .requires_grad = true});
  const memory::Bytes before = device.allocator().allocated();
  const Tensor z = prelu(leaf * 1.0, slopes);
  CHECK(device.allocator().allocated() == before + 2 * 64 * 128 * 4);  // its input, and z
  CHECK_THROWS_WITH_AS((void)prelu(zeros({2, 3}), zeros({2})), doctest::Contains("[prelu] weight (2) for x (2, 3)"),
                       ShapeError);
  CHECK_THROWS_AS((void)prelu(zeros({3}), zeros({3})), ShapeError);
  CHECK_THROWS_AS((void)prelu(zeros({2, 3}), zeros({3, 1})), ShapeError);
  CHECK_THROWS_AS((void)prelu(zeros({3}, {.dtype = DType::int64}), zeros({1})), DTypeError);
}

TEST_CASE("op rows: in place on the result of an op") {
  using Change = void (*)(Tensor&, const Tensor&);
  const auto row = [](std::string name, Shape other, Change change, Binary reference) {
    // x * 1 is a fresh tensor of the graph, which may be changed.
    return OpRow{std::move(name),
                 {{{3, 5}}, {other}},
                 [change](const Tensors& x) {
                   Tensor y = x[0] * 1.0;
                   change(y, x.back());
                   return y * y;  // so that the changed value matters to what follows
                 },
                 [reference](const Plains& x) {
                   return mapped(mapped(x[0], x.back(), reference), [](double y) { return y * y; });
                 }};
  };
  const auto alone = [&](std::string name, Change change, Binary reference) {
    OpRow result = row(std::move(name), {}, change, reference);
    result.inputs.pop_back();
    return result;
  };
  std::vector<OpRow> rows;
  for (const Shape& other : {Shape{3, 5}, Shape{5}, Shape{3, 1}, Shape{}}) {
    rows.push_back(row(
        "add_" + other.text(), other, [](Tensor& x, const Tensor& y) { add_(x, y); },
        [](double a, double b) { return a + b; }));
    rows.push_back(row(
        "sub_" + other.text(), other, [](Tensor& x, const Tensor& y) { sub_(x, y); },
        [](double a, double b) { return a - b; }));
    rows.push_back(row(
        "mul_" + other.text(), other, [](Tensor& x, const Tensor& y) { mul_(x, y); },
        [](double a, double b) { return a * b; }));
    rows.push_back(row(
        "copy_" + other.text(), other, [](Tensor& x, const Tensor& y) { copy_(x, y); },
        [](double, double b) { return b; }));
  }
  rows.push_back(alone(
      "relu_", [](Tensor& x, const Tensor&) { relu_(x); }, [](double a, double) { return std::fmax(a, 0.0); }));
  rows.push_back(alone(
      "sigmoid_", [](Tensor& x, const Tensor&) { sigmoid_(x); },
      [](double a, double) { return 1 / (1 + std::exp(-a)); }));
  rows.push_back(alone(
      "tanh_", [](Tensor& x, const Tensor&) { tanh_(x); }, [](double a, double) { return std::tanh(a); }));
  rows.push_back(alone(
      "add_ number", [](Tensor& x, const Tensor&) { add_(x, 0.5); }, [](double a, double) { return a + 0.5; }));
  rows.push_back(alone(
      "mul_ number", [](Tensor& x, const Tensor&) { mul_(x, 0.5); }, [](double a, double) { return a * 0.5; }));
  rows.push_back(alone(
      "fill_", [](Tensor& x, const Tensor&) { fill_(x, 0.5); }, [](double, double) { return 0.5; }));
  rows.push_back(alone(
      "mul_ itself", [](Tensor& x, const Tensor&) { mul_(x, x); }, [](double a, double) { return a * a; }));
  rows.push_back(alone(
      "add_ itself", [](Tensor& x, const Tensor&) { add_(x, x); }, [](double a, double) { return a + a; }));
  check(rows);
}

TEST_CASE("in place with its own transpose: the operand is read as it was before") {
  const Tensor leaf = tensor<double>({1, 2, 3, 4}, {2, 2}, "cpu", true);
  Tensor x = leaf * 1.0;
  mul_(x, transpose(x, 0, 1));
  CHECK(x.values<double>() == std::vector<double>{1, 6, 6, 16});
  sum(x).backward();
  CHECK(leaf.grad().values<double>() == std::vector<double>{2, 6, 4, 8});
}

TEST_CASE(
    "equal ones share the gradient of maximum and minimum, and kinks have the derivative that the functors promise") {
  const auto gradients = [](Tensor (*op)(const Tensor&, const Tensor&)) {
    const Tensor a = tensor<double>({1, 2, 3}, {3}, "cpu", true), b = tensor<double>({1, 3, 2}, {3}, "cpu", true);
    sum(op(a, b)).backward();
    return std::pair(a.grad().values<double>(), b.grad().values<double>());
  };
  CHECK(gradients(maximum) == std::pair(std::vector<double>{0.5, 0, 1}, std::vector<double>{0.5, 1, 0}));
  CHECK(gradients(minimum) == std::pair(std::vector<double>{0.5, 1, 0}, std::vector<double>{0.5, 0, 1}));

  const auto at = [](Scalar op, double value) {
    const Tensor x = tensor<double>({value}, {1}, "cpu", true);
    sum(op(x)).backward();
    return x.grad().item();
  };
  CHECK(at(relu, 0) == 0);
  CHECK(at(abs, 0) == 0);
  CHECK(at([](const Tensor& x) { return clamp(x, 0, 1); }, 0) == 1);
  CHECK(at([](const Tensor& x) { return clamp(x, 0, 1); }, 1) == 1);
  CHECK(at([](const Tensor& x) { return leaky_relu(x, 0.25); }, 0) == 0.25);
  CHECK(at([](const Tensor& x) { return pow(x, 1); }, 0) == 1);
  CHECK(at([](const Tensor& x) { return pow(x, 0); }, 0) == 0);
}

TEST_CASE("softplus, elu, gelu_tanh and sign far from 0, and numbers that they do not take") {
  const Tensor x = tensor<float>({-1e30F, -200, 0, 200, 1e30F}, {5});
  CHECK(softplus(x).values<float>() == std::vector<float>{0, 0, std::log(2.0F), 200, 1e30F});
  CHECK(elu(x).values<float>() == std::vector<float>{-1, -1, 0, 200, 1e30F});
  CHECK(gelu_tanh(x).values<float>() == std::vector<float>{0, 0, 0, 200, 1e30F});
  CHECK(sign(x).values<float>() == std::vector<float>{-1, -1, 0, 1, 1});
  const Tensor leaf = tensor<float>({-1e30F, -1e13F, -200, 200, 1e30F}, {5}, "cpu", true);
  sum(gelu_tanh(leaf) + softplus(leaf) + elu(leaf) + sign(leaf)).backward();
  CHECK(leaf.grad().values<float>() == std::vector<float>{0, 0, 0, 3, 3});
  CHECK_THROWS_WITH_AS((void)elu(x, -1), doctest::Contains("[elu] alpha -1 must not be negative"), ShapeError);
  CHECK_THROWS_WITH_AS((void)softplus(x, 0), doctest::Contains("[softplus] beta 0 must be more than 0"), ShapeError);
}

TEST_CASE("hardswish and mish far from 0, and at the bends") {
  const Tensor x = tensor<float>({-1e30F, -200, 0, 200, 1e30F, 3e38F}, {6}, "cpu", true);
  const std::vector<float> expected{0, 0, 0, 200, 1e30F, 3e38F};
  CHECK(hardswish(x).values<float>() == expected);
  CHECK(mish(x).values<float>() == expected);
  sum(hardswish(x)).backward();
  CHECK(x.grad().values<float>() == std::vector<float>{0, 0, 0.5F, 1, 1, 1});
  Tensor(x).zero_grad();
  sum(mish(x)).backward();
  CHECK(x.grad().values<float>() == std::vector<float>{0, 0, 0.6F, 1, 1, 1});  // tanh(log 2) = 3 / 5
  const Tensor bends = tensor<double>({-3, 3}, {2});
  CHECK(hardswish(bends).values<double>() == std::vector<double>{0, 3});
}

TEST_CASE("dtypes promote, gradients come back in the operand's own, and comparisons are not recorded") {
  const Tensor a = tensor<float>({1, 2}, {2}, "cpu", true), b = tensor<double>({3, 4}, {2}, "cpu", true);
  const Tensor product = a * b;
  CHECK(product.dtype() == DType::float64);
  sum(product).backward();
  CHECK(a.grad().dtype() == DType::float32);
  CHECK(b.grad().dtype() == DType::float64);
  CHECK(a.grad().values<double>() == std::vector<double>{3, 4});
  const Tensor counts = tensor<std::int64_t>({7, -7}, {2});
  CHECK((counts / tensor<std::int64_t>({2, 0}, {2})).values<std::int64_t>() == std::vector<std::int64_t>{3, 0});
  CHECK((counts * a.detach()).dtype() == DType::float32);
  for (const Tensor& flags : {equal(a, b), less(a, b)}) {
    CHECK(flags.dtype() == DType::boolean);
    CHECK_FALSE(flags.requires_grad());
  }
  CHECK(less(a, b).values<bool>() == std::vector<bool>{true, true});
}

TEST_CASE("prelu: a float32 weight's gradient is summed in float32, and what is above 0 has no part in it") {
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  Tensor weight = full({1}, 0.25, {.requires_grad = true});
  const Tensor x = to(full({1, 1, 300, 300}, -1.0), DType::float16).detach();
  const Tensor y = prelu(x, weight);
  y.backward(to(ones(y.shape()), DType::float16));
  CHECK(weight.grad().values<float>() == std::vector<float>{-90000});
  // And a half weight's of float32 is rounded once: three times 1 + 2^-11, a float16's 1, is closer to 3 + 2^-9.
  Tensor half = to(full({1}, 0.25), DType::float16).detach().set_requires_grad(true);
  sum(prelu(full({3}, -1 - 0x1p-11), half)).backward();
  CHECK(half.grad().values<double>() == std::vector<double>{-3 - 0x1p-9});
  weight.zero_grad();
  sum(prelu(tensor<float>({kInfinite, 1, -2}, {3}), weight)).backward();
  CHECK(weight.grad().values<float>() == std::vector<float>{-2});
}

TEST_CASE("hardswish has the outer derivative where its pieces meet, as PyTorch has") {
  const Tensor x = tensor<float>({-3, 3}, {2}, "cpu", true);
  sum(hardswish(x)).backward();
  CHECK(x.grad().values<float>() == std::vector<float>{0, 1});
}
