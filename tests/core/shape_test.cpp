#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

#include "views.h"

using namespace mnemo;

namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

Shape shape_of(const std::vector<std::int64_t>& sizes) { return Shape(Dims(sizes)); }

/// The rule of broadcasting from right to left, on plain vectors.
std::optional<std::vector<std::int64_t>> broadcast_slowly(std::vector<std::int64_t> a, std::vector<std::int64_t> b) {
  while (a.size() < b.size()) a.insert(a.begin(), 1);
  while (b.size() < a.size()) b.insert(b.begin(), 1);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == 1)
      a[i] = b[i];
    else if (b[i] != 1 && b[i] != a[i])
      return std::nullopt;
  }
  return a;
}

}  // namespace

TEST_CASE("shape: counts, ranks up to eight, and sizes of 0") {
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{2, 3, 4}.numel() == 24);
  CHECK(Shape{2, 0, 4}.numel() == 0);
  CHECK(Shape{2, 3, 4}.contiguous_strides() == Dims{12, 4, 1});
  CHECK(Shape{2, 0, 4}.contiguous_strides() == Dims{4, 4, 1});
  CHECK(Shape{1, 2, 1, 2, 1, 2, 1, 2}.numel() == 16);
  CHECK(Shape{2, 3}.text() == "(2, 3)");
  CHECK(Shape{}.text() == "()");
  CHECK(Shape{2, 3}.with(0, 5) == Shape{5, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS(Shape({2, -1}), ShapeError);
  CHECK_THROWS_WITH(Shape({2, -1}), "[shape] size -1 in (2, -1) is negative");
  Dims eight{1, 2, 3, 4, 5, 6, 7, 8};
  CHECK_THROWS_AS(eight.push_back(9), ShapeError);
  CHECK(eight.rank() == 8);
}

TEST_CASE("shape: 64 bits are enough up to the last element, and not one more") {
  CHECK(Shape{kLargest}.numel() == kLargest);
  CHECK(Shape{std::int64_t{1} << 31, std::int64_t{1} << 31}.numel() == std::int64_t{1} << 62);
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 32, std::int64_t{1} << 31}), ShapeError);
  CHECK_THROWS_AS(Shape({kLargest, 2}), ShapeError);
  // The strides would overflow although there are no elements.
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 40, std::int64_t{1} << 40, 0}), ShapeError);
  CHECK_THROWS_AS(Shape({0, std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
  CHECK_THROWS_AS((void)Shape({2, 3}).with(0, kLargest), ShapeError);
  CHECK(checked_multiply(-3, 5, "x") == -15);
  CHECK_THROWS_AS(checked_multiply(std::int64_t{1} << 40, std::int64_t{1} << 40, "x"), ShapeError);
}

TEST_CASE("shape: bytes that overflow are refused before anything is allocated") {
  const Device device = Device::open("virtual:cpu");
  CHECK_THROWS_AS(Array({std::int64_t{1} << 61}, DType::float32, device), ShapeError);
  CHECK_THROWS_AS(Array({kLargest}, DType::float16, device), ShapeError);
  CHECK_THROWS_AS(Array({std::int64_t{1} << 60}, DType::uint8, device), OutOfMemory);
  CHECK(device.allocator().allocated() == 0);
  CHECK(device.allocator().reserved() == 0);
  CHECK(Array({0, kLargest}, DType::float64, device).bytes() == 0);
}

TEST_CASE("shape: arrays of more than 2^31 elements on a virtual device") {
  const Device device = Device::open("virtual:cpu");
  const std::int64_t side = 1 << 17;
  const Array x({side, side}, DType::float32, device);
  CHECK(x.numel() == std::int64_t{1} << 34);
  CHECK(x.bytes() == std::int64_t{1} << 36);
  CHECK(device.allocator().allocated() == std::int64_t{1} << 36);
  CHECK(x.slice(0, side - 1, side).layout().offset == (side - 1) * side);
  CHECK(x.transpose(0, 1).reshape({-1}).shape() == Shape{std::int64_t{1} << 34});
  CHECK(map(BinaryOp::add, x, x.slice(0, 0, 1)).shape() == x.shape());
  CHECK(reduce(ReduceOp::sum, x, 3u).shape() == Shape{1, 1});
  CHECK(matmul(x, x).shape() == x.shape());
  const std::vector<Array> parts{x, x, x};
  CHECK(concat(parts, 0).shape() == Shape{3 * side, side});
  const Array image({1, 1, 3'000'000'000}, DType::uint8, device);
  const Array halves = image.to(DType::float16), weight({2, 1, 3}, DType::float16, device);
  const ConvProblem problem = conv_problem("conv1d", halves, weight, {}, 1, {.padding = 1});
  const ConvPolicyScope direct({.choice = ConvPolicy::Choice::direct});
  CHECK(conv(problem, halves, weight, {}).shape() == Shape{1, 2, 3'000'000'000});
  const PoolProblem pooling = pool_problem("max_pool1d", PoolProblem::Kind::max, halves, 1, {.kernel = 2});
  CHECK(pool(pooling, halves, 1, true).y.shape() == Shape{1, 1, 1'500'000'000});
}

// in + padding overflowed 64 bits: the input has no elements, so nothing else stood in the way.
TEST_CASE("shape: windows over sizes near 2^63") {
  const Device device = Device::open("virtual:cpu");
  const Array x({0, 1, kLargest}, DType::float32, device), weight({1, 1, 3}, DType::float32, device);
  CHECK_THROWS_AS(conv_problem("conv1d", x, weight, {}, 1, {.padding = 1}), ShapeError);
  CHECK(conv_problem("conv1d", x, weight, {}, 1, {}).out[2] == kLargest - 2);
  CHECK_THROWS_AS(pool_problem("max_pool1d", PoolProblem::Kind::max, x, 1, {.kernel = 3, .stride = 1, .padding = 1}),
                  ShapeError);
  CHECK(
      pool_problem("max_pool1d", PoolProblem::Kind::max, x, 1, {.kernel = 2, .stride = 2, .ceil_mode = true}).out[2] ==
      std::int64_t{1} << 62);
}

TEST_CASE("broadcast: the rule from right to left, either way round, and the error names both shapes") {
  numbers::Generator random(1);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::int64_t> a, b;
    for (std::int64_t n = random.integer(0, 4); n > 0; --n) a.push_back(random.integer(0, 3));
    for (std::int64_t n = random.integer(0, 4); n > 0; --n) b.push_back(random.integer(0, 3));
    if (const auto expected = broadcast_slowly(a, b)) {
      CHECK(broadcast(shape_of(a), shape_of(b), "add") == shape_of(*expected));
      CHECK(broadcast(shape_of(b), shape_of(a), "add") == shape_of(*expected));
    } else {
      ++refused;
      CHECK_THROWS_AS(broadcast(shape_of(a), shape_of(b), "add"), ShapeError);
    }
  }
  CHECK(refused > 1000);
  CHECK_THROWS_WITH(broadcast({2, 3}, {4, 3}, "add"),
                    "[add] shapes (2, 3) and (4, 3) do not broadcast: sizes 2 and 4 meet at axis 0 of the result; "
                    "they must be equal or 1");
  CHECK_THROWS_AS(broadcast({std::int64_t{1} << 40, 1}, {1, std::int64_t{1} << 40}, "add"), ShapeError);
}

TEST_CASE("normalize_axis: -rank to rank - 1") {
  CHECK(normalize_axis(-1, 3, "sum") == 2);
  CHECK(normalize_axis(-3, 3, "sum") == 0);
  CHECK(normalize_axis(2, 3, "sum") == 2);
  for (int axis : {3, -4, 100, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()})
    CHECK_THROWS_AS(normalize_axis(axis, 3, "sum"), ShapeError);
  CHECK_THROWS_AS(normalize_axis(0, 0, "sum"), ShapeError);
  CHECK_THROWS_AS(normalize_axis(-1, 0, "sum"), ShapeError);
}
