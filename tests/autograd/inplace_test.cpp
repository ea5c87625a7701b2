#include <doctest/doctest.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>

using namespace mnemo;

namespace {

using Values = std::vector<double>;

Tensor leaf(const Values& values) {
  return tensor<double>(values, {static_cast<std::int64_t>(values.size())}, "cpu", true);
}

/// Runs f, which must throw E; returns the text.
template <class E, class F>
std::string text_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

bool begins(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

}  // namespace

TEST_CASE("changing a value that backward needs is an error that names the op") {
  struct Case {
    const char* op;
    Tensor (*make)(const Tensor&);
  };
  for (const Case& one : {Case{"[exp]", exp}, Case{"[relu]", relu}, Case{"[sigmoid]", sigmoid}, Case{"[tanh]", tanh},
                          Case{"[softmax]", [](const Tensor& x) { return softmax(x, 0); }}}) {
    CAPTURE(one.op);
    const Tensor x = leaf({1, 2});
    Tensor y = one.make(x);
    const Tensor z = sum(y);
    add_(y, 1.0);
    const std::string text = text_of<GradError>([&] { z.backward(); });
    CHECK(begins(text, one.op));
    CHECK(text.find("(2)") != std::string::npos);
    CHECK_FALSE(x.grad().defined());
  }
  // The same of an input: multiply needs it, add does not.
  const Tensor x = leaf({1, 2});
  Tensor a = x * 2.0;
  const Tensor product = sum(a * a), total = sum(a + a);
  mul_(a, 3.0);
  CHECK(begins(text_of<GradError>([&] { product.backward(); }), "[multiply]"));
  CHECK_NOTHROW(total.backward());
  CHECK(x.grad().values<double>() == Values{4, 4});
}

TEST_CASE("a leaf, or a view of one, cannot be changed while recording, and is as it was") {
  Tensor x = leaf({1, 2});
  CHECK(begins(text_of<GradError>([&] { add_(x, 1.0); }), "[add_]"));
  CHECK_THROWS_AS(relu_(x), GradError);
  CHECK_THROWS_AS(mul_(x, x), GradError);
  CHECK_THROWS_AS(fill_(x, 0), GradError);
  CHECK_THROWS_AS(copy_(x, x), GradError);
  Tensor view = slice(x, 0, 0, 1), outside = x.detach();
  CHECK_THROWS_AS(add_(view, 1.0), GradError);
  CHECK_THROWS_AS(add_(outside, 1.0), GradError);
  CHECK(x.values<double>() == Values{1, 2});
  no_grad([&] { add_(x, 1.0); });
  CHECK(x.values<double>() == Values{2, 3});
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
  sum(x * x).backward();
  CHECK(x.grad().values<double>() == Values{4, 6});
}

TEST_CASE("using a handle whose value another one changed is an error, with the values untouched by the failed call") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 1.0, same = y;
  add_(y, 1.0);
  CHECK(begins(text_of<GradError>([&] { (void)(same * 2.0); }), "[affine]"));
  CHECK_THROWS_AS(add_(same, 1.0), GradError);
  CHECK(y.values<double>() == Values{2, 3});
  CHECK_THROWS_AS(concat({same, y}, 0), GradError);
  CHECK_THROWS_AS(sum(same).backward(), GradError);
  sum(y * y).backward();
  CHECK(x.grad().values<double>() == Values{4, 6});
}

TEST_CASE("an update between forward and backward is noticed, one after backward is fine") {
  Tensor w = leaf({2, 3});
  const Tensor x = leaf({5, 7});
  const Tensor loss = sum(w * x);
  no_grad([&] { sub_(w, w); });
  CHECK_THROWS_AS(loss.backward(), GradError);
  for (int step = 0; step < 3; ++step) {
    w.zero_grad();
    sum(w * w + x).backward();
    no_grad([&] { add_(w, Tensor(w.grad().array()) * -0.25 + 1.0); });
  }
  CHECK(w.values<double>() == Values{1.75, 1.75});
}

TEST_CASE("in-place chains have the gradient of the ops that are not in place") {
  const Tensor x = leaf({0.5, -1.5}), y = leaf({2, 3});
  Tensor a = x * 2.0;
  mul_(a, y), add_(a, y), mul_(a, a), sub_(a, y), mul_(a, 0.5), sigmoid_(a);
  sum(a).backward();
  const Tensor x2 = leaf({0.5, -1.5}), y2 = leaf({2, 3});
  const Tensor b = x2 * 2.0 * y2 + y2;
  sum(sigmoid((b * b - y2) * 0.5)).backward();
  for (const auto& [one, other] : {std::pair(x, x2), std::pair(y, y2)}) {
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(one.grad().values<double>()[i] == doctest::Approx(other.grad().values<double>()[i]).epsilon(1e-12));
  }
}

TEST_CASE("a plain tensor joins the graph when a recorded one is added to it") {
  Tensor total = zeros({2}, {.dtype = DType::float64});
  const Tensor x = leaf({1, 2});
  for (int i = 0; i < 3; ++i) add_(total, x * x);
  sum(total).backward();
  CHECK(x.grad().values<double>() == Values{6, 12});
}

TEST_CASE("what does not fit in place is refused, and nothing is changed") {
  Tensor x = tensor<float>({1, 2}, {2}), counts = tensor<std::int64_t>({1, 2}, {2});
  CHECK(begins(text_of<ShapeError>([&] { add_(x, ones({2, 2})); }), "[add_]"));
  CHECK(begins(text_of<ShapeError>([&] { mul_(x, ones({3})); }), "[mul_]"));
  CHECK(begins(text_of<ShapeError>([&] { copy_(x, ones({3})); }), "[copy_]"));
  CHECK(begins(text_of<DTypeError>([&] { add_(x, ones({2}, {.dtype = DType::float64})); }), "[add_]"));
  CHECK(begins(text_of<DTypeError>([&] { relu_(counts); }), "[relu_]"));
  CHECK(begins(text_of<DeviceError>([&] { sub_(x, ones({2}, {.device = Device::open("cpu")})); }), "[sub_]"));
  Tensor wide = expand(ones({1}), {2});
  CHECK(begins(text_of<ShapeError>([&] { add_(wide, 1.0); }), "[add_]"));
  CHECK(begins(text_of<ShapeError>([&] { copy_(wide, x); }), "[copy_]"));
  CHECK(wide.values<double>() == Values{1, 1});
  CHECK(x.values<double>() == Values{1, 2});
}
