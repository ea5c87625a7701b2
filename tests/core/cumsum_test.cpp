#include <doctest/doctest.h>

#include <string>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

#include "views.h"

using namespace mnemo;
using namespace views;
using numbers::Threads;

namespace {

/// Every element with all that come before it along the axis, or from it on, by their places in row-major order.
std::vector<double> added_slowly(const Array& x, int axis, bool reverse) {
  const std::int64_t step = x.shape().contiguous_strides()[axis], size = x.size(axis);
  const auto values = elements(x);
  std::vector<double> sums(values.size());
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    for (std::int64_t j = 0; j < size; ++j) {
      const std::int64_t own = i / step % size;
      if (reverse ? j >= own : j <= own)
        sums[static_cast<std::size_t>(i)] += values[static_cast<std::size_t>(i + (j - own) * step)];
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("cumsum: along every axis of any shape and strides, in every dtype, forwards and backwards") {
  Generator random(1);
  for (int round = 0; round < 400; ++round) {
    const DType dtype = random.one_of(kDTypes);
    Array x = scattered(random, any_shape(random, 4, 20), dtype);
    write(x, any_values(random, dtype, x.numel(), round % 3 == 0));
    CAPTURE(std::string(name(dtype)));
    CAPTURE(x.shape().text());
    CAPTURE(x.strides().text());
    for (int axis = 0; axis < x.rank(); ++axis) {
      for (const bool reverse : {false, true}) {
        const Array y = cumsum(x, axis, reverse);
        CHECK(y.dtype() == (is_floating(dtype) ? dtype : DType::int64));
        CHECK(y.shape() == x.shape());
        const auto expected = added_slowly(x, axis, reverse);
        CHECK(numbers::error_of(y, expected, expected) <= 1);
      }
    }
  }
  CHECK_THROWS_AS((void)cumsum(Array({3}, DType::float32, "cpu"), 1), ShapeError);
}

TEST_CASE("cumsum: any number of threads gives the same bits") {
  Generator random(2);
  const Array x = random.array({40, 30, 50}, DType::float32);
  for (const int axis : {0, 1, 2}) {
    const Threads one(1);
    const Array alone = cumsum(x, axis);
    const Threads three(3);
    CHECK(numbers::same_bits(alone, cumsum(x, axis)));
  }
}
