// The gradient of attention's mask: in parts, by itself, in half types, and in bytes. Beside the rows in
// attention_test.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;

namespace {

/// What the operation does, in separate ones.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  const Tensor scores = matmul(q, transpose(k, -2, -1)) * (1 / std::sqrt(static_cast<double>(q.size(-1))));
  return matmul(softmax(scores + mask, -1), v);
}

/// The largest difference, in parts of the largest value.
double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.values<double>(), y = b.values<double>();
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, std::abs(x[i] - y[i])), largest = std::max(largest, std::abs(y[i]));
  }
  return worst / largest;
}

memory::Bytes peak(const Device& device) { return device.allocator().statistics().allocated_bytes.all.peak; }

}  // namespace

TEST_CASE("attention's mask: its gradient in parts is that of the operations it is composed of") {
  struct Sizes {
    Shape queries, keys;
    std::vector<Shape> masks;
  };
  // Of 2^22 weights at a time: two samples and one; six heads and one, twice; 1900 rows and 300.
  const Sizes all[] = {{{3, 2, 1000, 3}, {3, 2, 1000, 3}, {{2, 1000, 1000}, {3, 1, 1, 1000}}},
                       {{2, 7, 800, 2}, {2, 7, 800, 2}, {{7, 1, 800}, {1, 800}}},
                       {{2200, 2}, {2200, 2}, {{2200, 2200}, {2200}}}};
  for (const Sizes& sizes : all) {
    for (const Shape& shape : sizes.masks) {
      CAPTURE(shape.text());
      manual_seed(6);
      const TensorOptions wide{.dtype = DType::float64};
      const Tensor q = randn(sizes.queries, wide), k = randn(sizes.keys, wide), v = randn(sizes.keys, wide);
      const Tensor upstream = randn(sizes.queries, wide), values = randn(shape, wide);
      // Nothing but the mask requires a gradient.
      const Tensor mask = clone(values).set_requires_grad(true), other = clone(values).set_requires_grad(true);
      scaled_dot_product_attention(q, k, v, mask).backward(upstream);
      composed(q, k, v, other).backward(upstream);
      CHECK(difference(mask.grad(), other.grad()) < 1e-12);
    }
  }
}

TEST_CASE("attention's mask: of a half type it is summed up in float32, and arrives in its own type") {
  manual_seed(7);
  const Tensor q = randn({2200, 2}), upstream = randn({2200, 2});
  const Tensor mask = to(randn({2200}), DType::bfloat16).detach().set_requires_grad(true);
  scaled_dot_product_attention(q, q, q, mask).backward(upstream);
  const Tensor wide = to(mask.detach(), DType::float32).set_requires_grad(true);
  scaled_dot_product_attention(q, q, q, wide).backward(upstream);
  CHECK(mask.grad().dtype() == DType::bfloat16);
  CHECK(mask.grad().values<double>() == to(wide.grad(), DType::bfloat16).values<double>());
  // Under autocast scores are half, and the mask keeps its type.
  const Tensor bias = randn({8, 8}, {.requires_grad = true}), x = randn({2, 8, 4});
  const AutocastScope half(DType::bfloat16);
  sum(scaled_dot_product_attention(x, x, x, bias)).backward();
  CHECK(bias.grad().dtype() == DType::float32);
}

TEST_CASE("attention's mask: its gradient by hand, and none of keys that are left out") {
  // Two keys of equal scores: weights of a half. The result is (1 + 3) / 2, and w1 w2 (v1 - v2) its derivative.
  const Tensor q = zeros({1, 1}, {.dtype = DType::float64}), v = tensor<double>({1, 3, 50}, {3, 1});
  const Tensor mask = tensor<double>({0, 0, -1e9}, {3}, "cpu", true);
  const Tensor y = scaled_dot_product_attention(q, zeros({3, 1}, {.dtype = DType::float64}), v, mask);
  CHECK(y.item() == 2);
  y.backward();
  CHECK(mask.grad().values<double>() == std::vector<double>{-0.5, 0.5, 0});
  // The first query is given the first key alone, the second one two: the third one's bias is never read.
  const Tensor two = zeros({2, 1}, {.dtype = DType::float64}),
               bias = tensor<double>({4, 7, 7, 1, 1, 9}, {2, 3}, "cpu", true);
  sum(scaled_dot_product_attention(two, zeros({3, 1}, {.dtype = DType::float64}), v, bias, {.causal = true}))
      .backward();
  CHECK(bias.grad().values<double>() == std::vector<double>{0, 0, 0, -0.5, 0.5, 0});
}

TEST_CASE("attention's mask: beside its own gradient nothing more, and without one what there was") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const std::int64_t n = 2, heads = 4, length = 2048, features = 64;
  const Tensor x = randn({n, heads, length, features}, {.requires_grad = true});
  const auto backward_peak = [&](const Tensor& mask) {
    Tensor(x).zero_grad();
    const Tensor y = scaled_dot_product_attention(x, x, x, mask), upstream = ones(y.shape());
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    y.backward(upstream);
    return peak(device) - before;
  };
  for (const Shape& shape : {Shape{heads, 1, length}, Shape{heads, length, length}}) {
    CAPTURE(shape.text());
    const Tensor mask = randn(shape);
    const memory::Bytes own = mask.array().bytes(), plain = backward_peak(mask);
    const memory::Bytes more = backward_peak(mask.detach().set_requires_grad(true)) - plain;
    CHECK(more >= own);
    // A part's sum besides, which has the size of what the mask says of the part.
    CHECK(more <= own + std::min<memory::Bytes>(own, (std::int64_t{1} << 22) * 4) + 4096);
  }
}
