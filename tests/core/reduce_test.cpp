#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

#include "views.h"

using namespace mnemo;
using namespace views;
using numbers::Threads;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

/// The reduction of every group of elements that differ only along `axes`.
std::vector<double> reduced_slowly(ReduceOp op, const Array& x, unsigned axes, double scale) {
  Dims kept_sizes = x.shape(), kept_strides;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axes >> axis & 1u) kept_sizes[axis] = 1;
  }
  const Shape kept(kept_sizes);
  kept_strides = kept.contiguous_strides();
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axes >> axis & 1u) kept_strides[axis] = 0;
  }
  // For every element, where its result lies.
  const auto targets = places({x.shape(), kept_strides, 0});
  const double start = op == ReduceOp::sum ? 0 : op == ReduceOp::max ? -kInfinity : kInfinity;
  std::vector<double> result(static_cast<std::size_t>(kept.numel()), start);
  const auto values = elements(x);
  for (std::size_t i = 0; i < values.size(); ++i) {
    double& total = result[static_cast<std::size_t>(targets[i])];
    const double value = values[i];
    if (op == ReduceOp::sum)
      total += value;
    else if (std::isnan(value) || std::isnan(total))
      total = kNaN;
    else
      total = op == ReduceOp::max ? std::max(total, value) : std::min(total, value);
  }
  for (double& value : result) value *= scale;
  return result;
}

}  // namespace

TEST_CASE("reduce: every subset of axes of any shape and strides, in every dtype, agrees with a plain loop") {
  Generator random(1);
  for (int round = 0; round < 600; ++round) {
    const DType dtype = random.one_of(kDTypes);
    Array x = scattered(random, any_shape(random, 5, 5), dtype);
    write(x, any_values(random, dtype, x.numel(), round % 3 == 0));
    if (random.integer(0, 4) == 0) {
      const Array repeated = x.unsqueeze(0);
      x = repeated.expand(repeated.shape().with(0, 3));
    }
    for (unsigned axes = 0; axes < 1u << x.rank(); ++axes) {
      for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(x.shape().text());
        CAPTURE(x.strides().text());
        CAPTURE(axes);
        CAPTURE(static_cast<int>(op));
        const double scale = op == ReduceOp::sum && is_floating(dtype) ? 0.25 : 1;
        auto expected = reduced_slowly(op, x, axes, scale);
        if (op != ReduceOp::sum && x.numel() == 0 && !expected.empty()) {
          CHECK_THROWS_AS(reduce(op, x, axes), ShapeError);
          continue;
        }
        const Array result = reduce(op, x, axes, true, scale), flat = reduce(op, x, axes, false, scale);
        CHECK(result.dtype() == (op == ReduceOp::sum && !is_floating(dtype) ? DType::int64 : dtype));
        if (is_floating(dtype)) {
          for (double& value : expected) value = formats::nearest(value, formats::format_of(dtype));
        }
        // Whole quarters add up exactly, in any order.
        const auto values = elements(result);
        CHECK(std::equal(values.begin(), values.end(), expected.begin(), expected.end(),
                         [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }));
        Dims left;
        for (int axis = 0; axis < x.rank(); ++axis) {
          if (!(axes >> axis & 1u)) left.push_back(x.size(axis));
        }
        CHECK(flat.shape() == Shape(left));
        CHECK(numbers::same_bits(flat, result));
      }
    }
  }
}

TEST_CASE("reduce: sums of nothing are 0; a maximum of nothing is an error, unless nobody asks") {
  const Array x({3, 0, 2}, DType::float32, "cpu");
  CHECK(reduce(ReduceOp::sum, x, 2u).values<float>() == std::vector<float>(6));
  CHECK(reduce(ReduceOp::sum, x, 7u).item() == 0);
  CHECK(reduce(ReduceOp::max, x, 1u).numel() == 0);
  CHECK_THROWS_WITH_AS(reduce(ReduceOp::max, x, 2u),
                       "[max] (3, 0, 2) has no elements along the reduced axes, so no max", ShapeError);
  CHECK_THROWS_AS(arg_max(x, 1), ShapeError);
  CHECK(arg_max(x, 0).shape() == Shape{0, 2});
}

TEST_CASE("reduce: a million numbers are added up in double") {
  const std::int64_t count = 1'000'003;
  for (DType dtype : {DType::float64, DType::float32}) {
    // In float, adding 1 to 2^24 does nothing.
    const Array ones = full({count}, 1, dtype, "cpu");
    fill(ones.slice(0, 0, 1), 0x1p30);
    CHECK(reduce(ReduceOp::sum, ones.to(DType::float64), 1u).item() == 0x1p30 + static_cast<double>(count - 1));
    CHECK(reduce(ReduceOp::sum, ones, 1u, true, 0x1p-6).item() ==
          formats::nearest((0x1p30 + static_cast<double>(count - 1)) * 0x1p-6, formats::format_of(dtype)));
  }
  CHECK(reduce(ReduceOp::sum, full({count}, 1, DType::float16, "cpu"), 1u, true, 1.0 / static_cast<double>(count))
            .item() == 1);
  CHECK(reduce(ReduceOp::sum, full({count}, 1, DType::boolean, "cpu"), 1u).values<std::int64_t>().front() == count);
  CHECK(reduce(ReduceOp::sum, full({count}, 255, DType::uint8, "cpu"), 1u).values<std::int64_t>().front() ==
        255 * count);
}

TEST_CASE("reduce: the same bits on any number of threads, along every axis of a large array") {
  Generator random(2);
  constexpr DType types[] = {DType::float32, DType::bfloat16, DType::int32};
  std::size_t round = 0;
  for (const Shape& shape : {Shape{300007}, Shape{3, 100003}, Shape{100003, 3}, Shape{41, 61, 83}, Shape{200, 1000}}) {
    for (unsigned axes = 1; axes < 1u << shape.rank(); ++axes) {
      for (const bool reversed : {false, true}) {
        const DType dtype = types[round++ % 3];
        Array x = random.array(shape, dtype, -100, 100);
        if (reversed) x = x.transpose(0, -1);
        Array first[2];
        for (int threads = 1; threads <= 3; ++threads) {
          const Threads scope(threads);
          const Array results[] = {reduce(ReduceOp::sum, x, axes), reduce(ReduceOp::max, x, axes)};
          for (int i = 0; i < 2; ++i) {
            if (threads == 1) first[i] = results[i];
            CHECK(numbers::same_bits(results[i], first[i]));
          }
        }
        const auto expected = reduced_slowly(ReduceOp::sum, x, axes, 1);
        if (is_floating(dtype))
          CHECK(numbers::error_of(first[0], expected, std::vector<double>(expected.size(), 100), 1e-4) <= 1);
        else
          CHECK(elements(first[0]) == expected);
        CHECK(elements(first[1]) == reduced_slowly(ReduceOp::max, x, axes, 1));
      }
    }
  }
}

TEST_CASE("sum_to: the reverse of broadcasting, from any shape to any that broadcasts to it") {
  const Array x = Array::from<double>({1, 2, 3, 4, 5, 6}, {2, 3}, "cpu");
  CHECK(sum_to(x, {3}).values<double>() == std::vector<double>{5, 7, 9});
  CHECK(sum_to(x, {1, 3}).shape() == Shape{1, 3});
  CHECK(sum_to(x, {2, 1}).values<double>() == std::vector<double>{6, 15});
  CHECK(sum_to(x, Shape{}).item() == 21);
  CHECK(sum_to(x, {2, 3}).storage() == x.storage());
  CHECK(sum_to(x.unsqueeze(0).expand({4, 2, 3}), {2, 1}).values<double>() == std::vector<double>{24, 60});
}

TEST_CASE("arg_max, arg_min: along every axis the first of the largest or the smallest, or the first NaN") {
  Generator random(3);
  for (int round = 0; round < 1000; ++round) {
    const DType dtype = random.one_of(kDTypes);
    const Shape shape = any_shape(random, 4, 5);
    if (shape.rank() == 0) continue;
    const int axis = static_cast<int>(random.integer(0, shape.rank() - 1));
    if (shape[axis] == 0) continue;
    const Array x = scattered(random, shape, dtype);
    write(x, any_values(random, dtype, x.numel(), true));
    CAPTURE(std::string(name(dtype)));
    CAPTURE(shape.text());
    CAPTURE(x.strides().text());
    CAPTURE(axis);
    Dims order;
    for (int i = 0; i < shape.rank(); ++i) {
      if (i != axis) order.push_back(i);
    }
    order.push_back(axis);
    const auto lines = elements(x.permute(order));  // one line after the other
    for (const bool smallest : {false, true}) {
      CAPTURE(smallest);
      std::vector<double> expected;
      const auto size = static_cast<std::ptrdiff_t>(shape[axis]);
      for (auto line = lines.begin(); line != lines.end(); line += size) {
        auto best = std::find_if(line, line + size, [](double value) { return std::isnan(value); });
        if (best == line + size)
          best = smallest ? std::min_element(line, line + size) : std::max_element(line, line + size);
        expected.push_back(static_cast<double>(best - line));
      }
      const Array result = smallest ? arg_min(x, axis - shape.rank()) : arg_max(x, axis - shape.rank());
      CHECK(result.dtype() == DType::int64);
      CHECK(elements(result) == expected);
    }
  }
}

// As doubles the two are equal.
TEST_CASE("arg_max: large integers are compared exactly") {
  const std::int64_t large = std::int64_t{1} << 53;
  CHECK(arg_max(Array::from<std::int64_t>({large, large + 1, large}, {3}, "cpu"), 0).values<std::int64_t>().front() ==
        1);
  CHECK(reduce(ReduceOp::max, Array::from<std::int64_t>({large, large + 1}, {2}, "cpu"), 1u)
            .values<std::int64_t>()
            .front() == large + 1);
}
