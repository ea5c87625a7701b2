// Channels-last is nothing but strides: operations on such tensors give the same values.
#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/random.h>

using namespace mnemo;

namespace {

/// The same tensor with the channels innermost in memory.
Tensor innermost(const Tensor& x) { return permute(contiguous(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2}); }

void check_same(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto left = a.array().values<double>(), right = b.array().values<double>();
  for (std::size_t i = 0; i < left.size(); ++i) REQUIRE(std::abs(left[i] - right[i]) < 1e-11);
}

struct Result {
  Tensor y, dx, dweight, mean;
};

Result normalize(bool last, bool training) {
  manual_seed(3);
  const TensorOptions options{.dtype = DType::float64}, trained{.dtype = DType::float64, .requires_grad = true};
  const Tensor leaf = randn({3, 5, 4, 6}, trained), weight = randn({5}, trained), bias = randn({5}, options);
  const Tensor mean = zeros({5}, options), variance = ones({5}, options);
  const Tensor x = last ? innermost(leaf) : leaf;
  CHECK(x.array().is_contiguous() == !last);
  const Tensor y = batch_norm(relu(x), weight, bias, mean, variance, {.training = training});
  CHECK(y.array().is_channels_last() == last);
  sum(y * y * y).backward();
  return {y, leaf.grad(), weight.grad(), mean};
}

}  // namespace

TEST_CASE("channels last: batch normalization has the same values and gradients, and keeps the layout") {
  for (const bool training : {true, false}) {
    const Result row_major = normalize(false, training), last = normalize(true, training);
    check_same(row_major.y, last.y);
    check_same(row_major.dx, last.dx);
    check_same(row_major.dweight, last.dweight);
    check_same(row_major.mean, last.mean);
  }
}

TEST_CASE("channels last: an array is copied once, and a size of 1 fits both layouts") {
  const Array x(Shape{2, 3, 4, 5}, DType::float32);
  const Array last = x.channels_last();
  CHECK(last.is_channels_last());
  CHECK_FALSE(last.is_contiguous());
  CHECK(last.strides() == Dims{60, 1, 15, 3});
  CHECK(last.channels_last().storage() == last.storage());
  CHECK(Array(Shape{2, 1, 4, 5}, DType::float32).is_channels_last());
  CHECK(Array(Shape{2, 7, 1, 1}, DType::float32).is_channels_last());
  const Array sequence(Shape{2, 3, 4}, DType::float32);
  CHECK(sequence.channels_last().strides() == Dims{12, 1, 3});
}
