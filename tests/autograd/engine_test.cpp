#include <doctest/doctest.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

using namespace mnemo;

namespace {

using Values = std::vector<double>;

Tensor leaf(const Values& values) {
  return tensor<double>(values, {static_cast<std::int64_t>(values.size())}, "cpu", true);
}
Values grad(const Tensor& x) { return x.grad().values<double>(); }

bool mentions(const std::exception& error, const char* text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

/// The example of autograd/record.h.
Tensor square(const Tensor& x) {
  const Operation operation("square");
  Array y = map(BinaryOp::multiply, x.array(), x.array());
  return record({&x}, std::move(y), [x = save_if(needs_grad(x), x.array())](Backward& back) {
    back.give(0, map(BinaryOp::multiply, back.grad(), map(UnaryOp::affine, x.get(), {.a = 2})));
  });
}

/// Passes its value on and gives no gradient.
Tensor stop(const Tensor& x) {
  const Operation operation("stop");
  return record({&x}, map(UnaryOp::affine, x.array(), {1, 0}), [](Backward&) {});
}

}  // namespace

TEST_CASE("gradients of two backwards add up, and zero_grad drops or clears them") {
  Tensor x = leaf({1, 2});
  sum(x * 3.0).backward();
  CHECK(grad(x) == Values{3, 3});
  sum(x * x).backward();
  CHECK(grad(x) == Values{5, 7});
  const Tensor kept = x.grad();
  x.zero_grad(false);
  CHECK(grad(x) == Values{0, 0});
  CHECK(kept.array().storage() == x.grad().array().storage());
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a tensor that is used several times gets the sum, in diamonds and on different depths") {
  const Tensor x = leaf({2, 3});
  const Tensor a = x * 2.0, b = a + x, c = a * b;  // c = 2x * 3x
  sum(c + x).backward();
  CHECK(grad(x) == Values{25, 37});  // 12x + 1
  const Tensor y = leaf({3});
  sum(y * y * y + y).backward();
  CHECK(grad(y) == Values{28});
  // Both paths of a sum get the same gradient array, which neither may overwrite.
  const Tensor z = leaf({1});
  const Tensor shared = z * 1.0;
  sum(relu(shared) * 5.0 + exp(-shared * 0.0) + shared).backward();
  CHECK(grad(z) == Values{6});
}

TEST_CASE("many diamonds in a row: every node runs once") {
  const Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = y * 0.5 + y * 0.5;  // 2^60 paths
  sum(y).backward();
  CHECK(grad(x) == Values{1});
}

TEST_CASE("a chain of 200,000 ops overflows the stack neither in backward nor in destruction") {
  const Tensor x = leaf({1});
  {
    Tensor y = x;
    for (int i = 0; i < 200000; ++i) y = y + 1.0;
    CHECK(y.item() == 200001);
    y.backward();
    CHECK(grad(x) == Values{1});
  }
  Tensor dropped = x;
  for (int i = 0; i < 200000; ++i) dropped = dropped + 1.0;
  dropped = Tensor();
}

TEST_CASE("a chain of 200,000 ops behind one that gives no gradient gets none, without overflowing the stack") {
  const Tensor x = leaf({1}), other = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = y + 1.0;
  (stop(y) + other).backward();
  CHECK_FALSE(x.grad().defined());
  CHECK(grad(other) == Values{1});
}

TEST_CASE("a second backward needs retain_graph, and the error names the operation") {
  const Tensor x = leaf({2});
  const Tensor y = square(x) + x;
  y.backward(true);
  y.backward();
  CHECK(grad(x) == Values{10});
  try {
    y.backward();
    FAIL("no error");
  } catch (const GradError& error) {
    CHECK(mentions(error, "[add]"));
    CHECK(mentions(error, "retain_graph"));
  }
  CHECK(grad(x) == Values{10});
}

TEST_CASE("no_grad, detach and inputs without a gradient record nothing") {
  Tensor x = leaf({2});
  CHECK_FALSE(no_grad([&] { return x * x; }).requires_grad());
  {
    const NoGradScope scope;
    CHECK_FALSE(grad_enabled());
    const GradModeScope again(true);
    CHECK((x * x).requires_grad());
  }
  CHECK(grad_enabled());
  CHECK_FALSE((x.detach() * 2.0).requires_grad());
  sum(x * x.detach()).backward();
  CHECK(grad(x) == Values{2});
  CHECK_THROWS_AS((x.detach() * 2.0).backward(), GradError);
  CHECK_THROWS_AS((x * 2.0).set_requires_grad(false), GradError);
  x.set_requires_grad(false);
  CHECK_FALSE((x * 2.0).requires_grad());
}

// A model frozen through the handles that parameters() gives was trained on.
TEST_CASE("a leaf is frozen and thawed through any handle, and its gradient is there again afterwards") {
  const Tensor x = leaf({2, 3}), w = leaf({5, 7});
  Tensor other = x;
  sum(x * w).backward();
  other.set_requires_grad(false);
  CHECK_FALSE(x.requires_grad());
  CHECK(x.is_leaf());
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(other.grad().defined());
  CHECK_FALSE((x * 2).requires_grad());
  CHECK_THROWS_AS(sum(x).backward(), GradError);
  CHECK_THROWS_AS(other.set_grad(ones({2}, {.dtype = DType::float64})), GradError);
  CHECK_THROWS_AS(other.retain_grad(), GradError);
  CHECK_THROWS_AS(other.register_hook([](const Array&) { return Array(); }), GradError);
  sum(x * w).backward();
  sum(concat({x, w}, 0)).backward();
  CHECK(grad(w) == Values{5, 7});  // 2 + 2 + 1, 3 + 3 + 1
  add_(other, 1);
  CHECK(x.values<double>() == Values{3, 4});
  other.set_requires_grad(true);
  CHECK(grad(x) == Values{5, 7});
  sum(x * w).backward();
  CHECK(grad(x) == Values{10, 14});
  CHECK(grad(w) == Values{8, 11});
  CHECK_THROWS_AS(add_(other, 1), GradError);
}

TEST_CASE("backward from a tensor that is not a scalar takes the gradient to start from") {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  CHECK_THROWS_AS(y.backward(), GradError);
  CHECK_THROWS_AS(y.backward(Tensor()), GradError);
  CHECK_THROWS_AS(y.backward(leaf({1})), ShapeError);
  const Device elsewhere = Device::open("virtual:cpu");
  CHECK_THROWS_AS(y.backward(ones({2}, {.device = elsewhere})), DeviceError);
  y.backward(tensor<float>({10, 100}, {2}));
  CHECK(grad(x) == Values{20, 400});
  leaf({1}).backward();
}

TEST_CASE("a gradient that the caller holds is not changed by backward") {
  const Tensor x = leaf({1, -1}), start = leaf({3, 4});
  relu(x).backward(start);
  CHECK(start.values<double>() == Values{3, 4});
  CHECK(grad(x) == Values{3, 0});
  (-x).backward(start);
  CHECK(start.values<double>() == Values{3, 4});
}

TEST_CASE("hooks see each complete gradient once per backward and may replace it") {
  Tensor x = leaf({1, 2});
  Tensor y = x * 2.0;
  int calls = 0;
  Values seen;
  y.register_hook([&](const Array& g) {
    ++calls;
    seen = g.values<double>();
    return Array();
  });
  x.register_hook([](const Array& g) { return map(UnaryOp::affine, g, {10, 0}); });
  x.register_hook([](const Array& g) { return map(UnaryOp::affine, g, {1, 1}); });
  const Tensor z = sum(y + y * y);
  z.backward(true);
  CHECK(calls == 1);
  CHECK(seen == Values{5, 9});
  CHECK(grad(x) == Values{101, 181});
  z.backward();
  CHECK(calls == 2);
  CHECK(grad(x) == Values{202, 362});
}

TEST_CASE("a hook may keep the gradient, and may not change its shape or device") {
  Tensor x = leaf({1, 2});
  Array kept;
  Tensor y = x * 1.0;
  y.register_hook([&](const Array& g) {
    kept = g;
    return Array();
  });
  sum(-relu(y)).backward();
  CHECK(kept.values<double>() == Values{-1, -1});

  Tensor bad = leaf({1, 2});
  bad.register_hook([](const Array&) { return full(Shape{3}, 1, DType::float64); });
  CHECK_THROWS_AS(sum(bad).backward(), ShapeError);
  CHECK_FALSE(bad.grad().defined());
  Tensor away = leaf({1, 2});
  const Device elsewhere = Device::open("virtual:cpu");
  away.register_hook([&](const Array&) { return full(Shape{2}, 1, DType::float64, elsewhere); });
  CHECK_THROWS_AS(sum(away).backward(), GradError);
  Tensor narrow = leaf({1, 2});
  narrow.register_hook([](const Array& g) { return g.to(DType::float32); });
  sum(narrow).backward();
  CHECK(narrow.grad().dtype() == DType::float64);
}

TEST_CASE("retain_grad keeps the gradient of an op's result") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 3.0;
  CHECK_FALSE(y.grad().defined());
  y.retain_grad();
  const Tensor z = sum(y * y);
  z.backward(true);
  CHECK(grad(y) == Values{6, 12});
  CHECK(grad(x) == Values{18, 36});
  z.backward();
  CHECK(grad(y) == Values{12, 24});
  CHECK_THROWS_AS(Tensor(x.detach()).retain_grad(), GradError);
}

TEST_CASE("set_grad takes what fits") {
  Tensor x = leaf({1, 2});
  x.set_grad(tensor<double>({5, 6}, {2}));
  sum(x).backward();
  CHECK(grad(x) == Values{6, 7});
  x.set_grad(expand(tensor<double>({1}, {1}), {2}));
  sum(x).backward();
  CHECK(grad(x) == Values{2, 2});
  CHECK_THROWS_AS(x.set_grad(tensor<double>({1}, {1})), ShapeError);
  CHECK_THROWS_AS(x.set_grad(tensor<float>({1, 2}, {2})), DTypeError);
  CHECK_THROWS_AS(x.set_grad(ones({2}, {.dtype = DType::float64, .device = Device::open("cpu")})), DeviceError);
  CHECK(grad(x) == Values{2, 2});
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a user's own op takes part like the built-in ones") {
  const Tensor x = leaf({1, -2, 3});
  const Tensor y = square(relu(x)) * 0.5;
  CHECK(y.values<double>() == Values{0.5, 0, 4.5});
  sum(y).backward();
  CHECK(grad(x) == Values{1, 0, 3});
  constexpr double kEps = 1e-6;
  const Tensor at = leaf({0.7});
  square(at).backward();
  const double up = square(leaf({0.7 + kEps})).item(), down = square(leaf({0.7 - kEps})).item();
  CHECK(grad(at)[0] == doctest::Approx((up - down) / (2 * kEps)).epsilon(1e-8));
}

TEST_CASE("a backward inside a hook leaves the outer one as it is") {
  Tensor x = leaf({2});
  Tensor y = x * x, inner_x = leaf({5});
  y.register_hook([&](const Array&) {
    const GradModeScope recording(true);
    (inner_x * inner_x + x.detach()).backward();
    return Array();
  });
  (y + x).backward();
  CHECK(grad(x) == Values{5});
  CHECK(grad(inner_x) == Values{10});
}

// What a gradient had kept was gone in part after a failure, and the next run gave a wrong gradient without it.
TEST_CASE("an operation whose gradient failed refuses to run again, unless the graph is kept") {
  for (const bool retain : {false, true}) {
    const Tensor x = leaf({3});
    const Operation operation("failing");
    bool fails = true;
    const Tensor y = record({&x}, x.array(), [&fails](Backward& back) {
      if (std::exchange(fails, false)) throw std::bad_alloc();
      back.give(0, back.take_grad());
    });
    CHECK_THROWS_AS(y.backward({}, retain), std::bad_alloc);
    if (retain) {
      CHECK_NOTHROW(y.backward({}, retain));
      CHECK(grad(x) == Values{1});
    } else {
      CHECK_THROWS_AS(y.backward({}, retain), GradError);
    }
  }
}

TEST_CASE("a leaf that is frozen behind forward gets nothing from backward") {
  Tensor x = tensor<double>({1, 2}, {2}, "cpu", true), w = tensor<double>({3, 4}, {2}, "cpu", true);
  const Tensor y = sum(x * w);
  w.set_requires_grad(false);
  y.backward();
  CHECK(x.grad().values<double>() == std::vector<double>{3, 4});
  w.set_requires_grad(true);
  CHECK(!w.grad().defined());
}

TEST_CASE("a hook that registers others is followed by those that were there, and by the new ones the next time") {
  Tensor x = tensor<double>({1}, {1}, "cpu", true);
  int added = 0;
  x.register_hook([&](const Array&) {
    for (int i = 0; i < 50; ++i) {
      x.register_hook([&](const Array&) {
        ++added;
        return Array();
      });
    }
    return Array();
  });
  bool last = false;
  x.register_hook([&](const Array&) {
    last = true;
    return Array();
  });
  (x * 2.0).backward(ones({1}, {.dtype = DType::float64}));
  CHECK(last);
  CHECK(added == 0);
  (x * 2.0).backward(ones({1}, {.dtype = DType::float64}));
  CHECK(added == 50);
}

TEST_CASE("a hook keeps what it counts itself") {
  Tensor x = tensor<double>({1}, {1}, "cpu", true);
  std::vector<int> seen;
  x.register_hook([&seen, calls = 0](const Array&) mutable {
    seen.push_back(++calls);
    return Array();
  });
  for (int i = 0; i < 3; ++i) (x * 2.0).backward(ones({1}, {.dtype = DType::float64}));
  CHECK(seen == std::vector<int>{1, 2, 3});
}

TEST_CASE("gradients of no elements are added up like others") {
  const Tensor none = zeros({0, 2}, {.requires_grad = true});
  (sum(none) * 2.0F + sum(none)).backward();
  CHECK(none.grad().shape() == Shape{0, 2});
  (sum(none) * 2.0F + sum(none)).backward();
  CHECK(none.grad().shape() == Shape{0, 2});
}
