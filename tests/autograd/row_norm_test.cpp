#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

constexpr double kEpsilon = 1e-3;

/// x with mean 0 and variance 1 over all elements that `same` says are in one row.
Plain normalized(const Plain& x, const std::function<bool(const Index&, const Index&)>& same) {
  return filled(x.sizes, [&](const Index& index) {
    double count = 0, sum = 0, squares = 0;
    for_each(x.sizes, [&](const Index& other) {
      if (same(index, other)) count += 1, sum += x.at(other);
    });
    for_each(x.sizes, [&](const Index& other) {
      if (same(index, other)) squares += std::pow(x.at(other) - sum / count, 2);
    });
    return (x.at(index) - sum / count) / std::sqrt(squares / count + kEpsilon);
  });
}

/// Inputs: x, then as many of weight and bias as `affine` says.
OpRow layer_norm_row(const Shape& shape, int axes, int affine) {
  Dims last;
  for (int axis = shape.rank() - axes; axis < shape.rank(); ++axis) last.push_back(shape[axis]);
  const Shape over(last);
  std::vector<Input> inputs{{shape}};
  for (int i = 0; i < affine; ++i) inputs.push_back({over});
  const auto first = static_cast<std::size_t>(shape.rank() - axes);
  return {"layer_norm " + shape.text() + over.text(),
          inputs,
          [=](const Tensors& x) {
            return layer_norm(x[0], over, affine > 0 ? x[1] : Tensor(), affine > 1 ? x[2] : Tensor(), kEpsilon);
          },
          [=](const Plains& x) {
            Plain y = normalized(x[0], [=](const Index& a, const Index& b) {
              return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(first), b.begin());
            });
            if (affine > 0) y = mapped(y, x[1], [](double a, double b) { return a * b; });
            return affine > 1 ? mapped(y, x[2], [](double a, double b) { return a + b; }) : y;
          },
          0,
          false};
}

OpRow group_norm_row(const Shape& shape, std::int64_t groups, int affine) {
  std::vector<Input> inputs{{shape}};
  for (int i = 0; i < affine; ++i) inputs.push_back({{shape[1]}});
  return {"group_norm " + shape.text() + std::to_string(groups),
          inputs,
          [=](const Tensors& x) {
            return group_norm(x[0], groups, affine > 0 ? x[1] : Tensor(), affine > 1 ? x[2] : Tensor(), kEpsilon);
          },
          [=](const Plains& x) {
            const std::int64_t each = shape[1] / groups;
            Plain y = normalized(
                x[0], [=](const Index& a, const Index& b) { return a[0] == b[0] && a[1] / each == b[1] / each; });
            return filled(y.sizes, [&](const Index& index) {
              double value = y.at(index);
              if (affine > 0) value *= x[1].at({index[1]});
              return affine > 1 ? value + x[2].at({index[1]}) : value;
            });
          },
          0,
          false};
}

OpRow rms_norm_row(const Shape& shape, int axes, bool affine) {
  Dims last;
  for (int axis = shape.rank() - axes; axis < shape.rank(); ++axis) last.push_back(shape[axis]);
  const Shape over(last);
  std::vector<Input> inputs{{shape}};
  if (affine) inputs.push_back({over});
  return {"rms_norm " + shape.text() + over.text(),
          inputs,
          [=](const Tensors& x) { return rms_norm(x[0], over, affine ? x[1] : Tensor(), kEpsilon); },
          [=](const Plains& x) {
            const auto count = static_cast<double>(over.numel());
            return filled(x[0].sizes, [&](const Index& index) {
              double squares = 0;
              for_each(x[0].sizes, [&](const Index& other) {
                const bool same = std::equal(index.begin(), index.end() - axes, other.begin());
                if (same) squares += x[0].at(other) * x[0].at(other);
              });
              const double y = x[0].at(index) / std::sqrt(squares / count + kEpsilon);
              return affine ? y * x[1].broadcast_at(index) : y;
            });
          },
          0,
          false};
}

memory::Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
}

}  // namespace

TEST_CASE("op rows: layer_norm") {
  std::vector<OpRow> rows;
  for (const int affine : {2, 1, 0}) {
    rows.push_back(layer_norm_row({3, 5}, 1, affine));
    rows.push_back(layer_norm_row({2, 3, 4}, 1, affine));
    rows.push_back(layer_norm_row({2, 3, 4}, 2, affine));
    rows.push_back(layer_norm_row({7}, 1, affine));
    rows.push_back(layer_norm_row({0, 3}, 1, affine));
  }
  rows.front().large = {{{300, 401}}, {{401}}, {{401}}};
  rows.front().op = [](const Tensors& x) { return layer_norm(x[0], {x[0].size(-1)}, x[1], x[2], kEpsilon); };
  check(rows);
}

TEST_CASE("op rows: group_norm") {
  std::vector<OpRow> rows;
  for (const int affine : {2, 1, 0}) {
    for (const std::int64_t groups : {1, 2, 3, 6}) rows.push_back(group_norm_row({2, 6, 4}, groups, affine));
    rows.push_back(group_norm_row({2, 4, 2, 3}, 2, affine));
    rows.push_back(group_norm_row({1, 2, 3, 2, 2}, 1, affine));
    rows.push_back(group_norm_row({3, 4}, 2, affine));
    rows.push_back(group_norm_row({0, 4, 3}, 2, affine));
  }
  rows.front().large = {{{6, 40, 300}}, {{40}}, {{40}}};
  rows.front().op = [](const Tensors& x) { return group_norm(x[0], x[0].size(1) == 40 ? 8 : 1, x[1], x[2], kEpsilon); };
  check(rows);
}

TEST_CASE("op rows: rms_norm") {
  std::vector<OpRow> rows;
  for (const bool affine : {true, false}) {
    rows.push_back(rms_norm_row({3, 5}, 1, affine));
    rows.push_back(rms_norm_row({2, 3, 4}, 2, affine));
    rows.push_back(rms_norm_row({7}, 1, affine));
    rows.push_back(rms_norm_row({0, 3}, 1, affine));
  }
  rows.front().large = {{{300, 401}}, {{401}}};
  rows.front().op = [](const Tensors& x) { return rms_norm(x[0], {x[0].size(-1)}, x[1], kEpsilon); };
  check(rows);
}

TEST_CASE("rms_norm keeps x and one number per row, and takes half values with a float32 weight") {
  const Device device = Device::open("virtual:cpu");
  {
    const DeviceScope scope(device);
    const Tensor weight = ones({128}, {.requires_grad = true});
    const Tensor x = randn({512, 128}, {.requires_grad = true}) * 1.0;
    const Tensor y = rms_norm(x, {128}, weight);
    CHECK(saved(device) == 512 * 128 * 4 + 512 * 4);
    sum(y).backward();
    CHECK(saved(device) == 0);
    CHECK_THROWS_WITH_AS((void)rms_norm(x, {64}, {}), doctest::Contains("[rms_norm] input (512, 128) must end with"),
                         ShapeError);
    CHECK_THROWS_AS((void)rms_norm(x, {128}, ones({64})), ShapeError);
    CHECK_THROWS_AS((void)rms_norm(x, {128}, {}, -1), ShapeError);
  }
  // Squares of these are no floats: 3e30 times 1, -1, 1, -1 has root mean square 3e30.
  const Tensor large = tensor<float>({3e30F, -3e30F, 3e30F, -3e30F}, {1, 4});
  const auto roots = rms_norm(large, {4}).values<double>();
  for (std::size_t i = 0; i < 4; ++i) CHECK(roots[i] == doctest::Approx(i % 2 == 0 ? 1 : -1).epsilon(1e-6));
  const Tensor half = to(tensor<float>({1, 7, 5, 5}, {1, 4}), DType::bfloat16);  // mean square 25
  const Tensor y = rms_norm(half, {4}, tensor<float>({5, 5, 5, 2.5F}, {4}), 0);
  CHECK(y.dtype() == DType::bfloat16);
  CHECK(y.values<double>() == std::vector<double>{1, 7, 5, 2.5});
}

TEST_CASE("layer_norm and group_norm keep x and two numbers per row, and not what is normalized or its result") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  Tensor weight = ones({128}, {.requires_grad = true}), bias = zeros({128}, {.requires_grad = true});
  const memory::Bytes bytes = 512 * 128 * 4;
  {
    const Tensor x = randn({512, 128}, {.requires_grad = true}) * 1.0;
    const Tensor y = layer_norm(x, {128}, weight, bias);
    CHECK(saved(device) == bytes + 2 * 512 * 4);
    const memory::Bytes before = device.allocator().allocated();
    sum(y).backward();
    CHECK(saved(device) == 0);
    CHECK(device.allocator().allocated() < before + bytes);  // the gradient of x's leaf, less what was kept
  }
  {
    const Tensor x = randn({4, 128, 32}, {.requires_grad = true}) * 1.0;
    const Tensor y = group_norm(x, 32, weight, bias);
    CHECK(saved(device) == 4 * 128 * 32 * 4 + 2 * 4 * 32 * 4);
  }
  {
    const Tensor x = randn({512, 128}) * 1.0;  // of which nobody wants the gradient
    const Tensor y = layer_norm(x, {128}, {}, bias);
    CHECK(saved(device) == 0);
  }
  {
    const Tensor x = randn({512, 128}, {.requires_grad = true});
    const Tensor y = layer_norm(x, {128});
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    sum(y).backward();  // x's gradient takes the memory of y's
    CHECK(device.allocator().allocated() == before + bytes - 2 * 512 * 4);
    CHECK(device.allocator().statistics().allocated_bytes.all.peak <= before + bytes + 1024);
  }
  for (const bool in_groups : {false, true}) {
    const Tensor x = randn({512, 128}, {.requires_grad = true});
    weight.zero_grad(), bias.zero_grad();
    const Tensor y = in_groups ? group_norm(x, 32, weight, bias) : layer_norm(x, {128}, weight, bias);
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    sum(y).backward();  // and those of weight and bias, of 512 bytes each, need nothing but themselves
    CHECK(device.allocator().statistics().allocated_bytes.all.peak <= before + bytes + 2 * 512 + 1024);
  }
  {
    const NoGradScope no_grad;
    const Tensor x = randn({512, 128});
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    const Tensor y = layer_norm(x, {128}, weight, bias);
    CHECK(device.allocator().allocated() == before + bytes);
    // Weight and bias are applied in the result's memory.
    CHECK(device.allocator().statistics().allocated_bytes.all.peak <= before + bytes + 2 * 512 * 4 + 512);
  }
}

TEST_CASE("layer_norm of a half type with float32 parameters: rounded once, gradients in the parameters' dtype") {
  manual_seed(2);
  for (const DType half : {DType::float16, DType::bfloat16}) {
    const Tensor wide = to(to(randn({64, 96}), half), DType::float64).set_requires_grad(true);
    const Tensor x = to(wide.detach(), half).set_requires_grad(true);
    Tensor weight = rand({96}).set_requires_grad(true), bias = rand({96}).set_requires_grad(true);
    const Tensor wide_weight = to(weight.detach(), DType::float64).set_requires_grad(true);
    const Tensor y = layer_norm(x, {96}, weight, bias);
    const Tensor expected = layer_norm(wide, {96}, wide_weight, to(bias.detach(), DType::float64));
    CHECK(y.dtype() == half);
    const double last_place = half == DType::float16 ? 0x1p-11 : 0x1p-8;
    const auto values = y.values<double>(), exact = expected.values<double>();
    for (std::size_t i = 0; i < values.size(); ++i)
      CHECK(std::abs(values[i] - exact[i]) <= 2 * last_place * (std::abs(exact[i]) + 1));
    const Tensor g = to(to(rand({64, 96}), half), DType::float64);
    y.backward(to(g, half));
    expected.backward(g);
    CHECK(weight.grad().dtype() == DType::float32);
    CHECK(bias.grad().dtype() == DType::float32);
    const Tensor alone = bias.detach().set_requires_grad(true);  // its sums are rounded to its own dtype, too
    layer_norm(x.detach(), {96}, weight.detach(), alone).backward(to(g, half));
    CHECK(alone.grad().values<float>() == bias.grad().values<float>());
    CHECK(x.grad().dtype() == half);
    const auto got = weight.grad().values<double>(), wanted = wide_weight.grad().values<double>();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= 64 * last_place);
  }
}

TEST_CASE("layer_norm and group_norm: a gradient is the same whichever others are wanted, and of any strides of x") {
  manual_seed(3);
  const Tensor values = randn({9, 70}), numbers = rand({70}), more = rand({70}), grad = randn({9, 70});
  for (const bool in_groups : {false, true}) {
    std::vector<std::vector<double>> all;
    for (const int wanted : {7, 1, 2, 3, 4, 5, 6}) {
      CAPTURE(wanted);
      Tensor x = wanted % 2 == 1 ? clone(values) : transpose(clone(transpose(values, 0, 1)), 0, 1);
      Tensor weight = clone(numbers), bias = clone(more);
      const std::vector<Tensor*> inputs{&x, &weight, &bias};
      for (std::size_t i = 0; i < 3; ++i) inputs[i]->set_requires_grad((wanted >> i & 1) != 0);
      (in_groups ? group_norm(x, 7, weight, bias) : layer_norm(x, {70}, weight, bias)).backward(grad);
      for (std::size_t i = 0; i < 3; ++i) {
        CAPTURE(i);
        if (wanted == 7)
          all.push_back(inputs[i]->grad().values<double>());
        else if ((wanted >> i & 1) != 0)
          CHECK(inputs[i]->grad().values<double>() == all[i]);
      }
    }
  }
}

TEST_CASE("layer_norm and group_norm of rows without elements") {
  for (const Shape& shape : {Shape{3, 0}, Shape{0, 4}, Shape{0, 0}}) {
    CAPTURE(shape.text());
    const Shape row{shape[1]};
    const Tensor x = zeros(shape, {.requires_grad = true}), weight = ones(row, {.requires_grad = true}),
                 bias = zeros(row, {.requires_grad = true});
    sum(layer_norm(x, row, weight, bias)).backward();
    CHECK(x.grad().shape() == shape);
    CHECK(weight.grad().values<float>() == std::vector<float>(static_cast<std::size_t>(shape[1]), 0));
    CHECK(bias.grad().values<float>() == weight.grad().values<float>());
  }
  const Tensor x = zeros({2, 4, 0}, {.requires_grad = true}), weight = ones({4}, {.requires_grad = true});
  sum(group_norm(x, 2, weight, zeros({4}))).backward();
  CHECK(x.grad().shape() == Shape{2, 4, 0});
  CHECK(weight.grad().values<float>() == std::vector<float>(4, 0));
}

TEST_CASE("layer_norm and group_norm: gradients where a distance from the mean times a gradient is no float") {
  // One row of four; dx = inverse * (g - mean of g - y * mean of g y), with y the normalized values.
  const auto check = [](const std::vector<double>& values, const std::vector<double>& grads, double epsilon) {
    double mean = 0, variance = 0, sum = 0, product = 0;
    for (const double value : values) mean += value / 4;
    for (const double value : values) variance += (value - mean) * (value - mean) / 4;
    const double inverse = 1 / std::sqrt(variance + epsilon);
    std::vector<double> normalized;
    for (const double value : values) normalized.push_back((value - mean) * inverse);
    for (std::size_t i = 0; i < 4; ++i) sum += grads[i] / 4, product += grads[i] * normalized[i] / 4;
    const auto tensor_of = [](const std::vector<double>& numbers) {
      return to(tensor(numbers, {1, 4}), DType::float32).detach();
    };
    for (const bool groups : {false, true}) {
      CAPTURE(groups);
      Tensor x = tensor_of(values), weight = ones({groups ? 1 : 4}, {.requires_grad = true});
      x.set_requires_grad(true);
      const Tensor y = groups ? reshape(group_norm(reshape(x, {1, 1, 4}), 1, weight, {}, epsilon), {1, 4})
                              : layer_norm(x, {4}, weight, {}, epsilon);
      y.backward(tensor_of(grads));
      const auto dx = x.grad().values<double>(), dweight = weight.grad().values<double>();
      double most = 0;
      for (const double g : grads) most = std::max(most, std::abs(g));
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(std::abs(dx[i] - inverse * (grads[i] - sum - normalized[i] * product)) <= 1e-6 * inverse * most);
        if (!groups) CHECK(std::abs(dweight[i] - grads[i] * normalized[i]) <= 1e-6 * most);
      }
      if (groups) CHECK(std::abs(dweight[0] - 4 * product) <= 1e-6 * most);
    }
  };
  check({3e30, -3e30, 1e30, -2e30}, {1e9, -2e9, 3e9, 4e9}, 1e-5);
  check({1e15, -1e15, 3e15, 2e15}, {1e25, -2e25, 3e25, 5e25}, 1e-5);
  check({1e-20, -1e-20, 3e-20, 2e-20}, {1e-30, -2e-30, 3e-30, 5e-30}, 0);
}

TEST_CASE("layer_norm: a row that begins far from its mean loses no digits of its deviation") {
  // 128 zeros, then 896 times the same: the variance is 7 / 64 of its square.
  std::vector<float> values(1024, 1.904F);
  std::fill_n(values.begin(), 128, 0.0F);
  const auto y = layer_norm(tensor(values, {1, 1024}), {1024}, {}, {}, 0).values<double>();
  const double deviation = std::sqrt(7.0 / 64);  // of 1.904 times 0 and 1
  CHECK(std::abs(y.front() - (0 - 7.0 / 8) / deviation) <= 4e-7 * 7.0 / 8 / deviation);
  CHECK(std::abs(y.back() - (1 - 7.0 / 8) / deviation) <= 3e-6 / deviation);
}
