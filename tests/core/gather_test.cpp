#include <doctest/doctest.h>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

/// Whole numbers that every dtype holds exactly.
Array whole_numbers(Generator& random, const Shape& shape, DType dtype) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = static_cast<double>(random.integer(0, dtype == DType::boolean ? 1 : 3));
  return Array::from<double>(values, shape, "cpu").to(dtype);
}

}  // namespace

TEST_CASE(
    "gather and scatter_add: every dtype and axis agrees with the definition, with the same bits on any number of "
    "threads") {
  Generator random(1);
  for (int round = 0; round < 300; ++round) {
    const DType dtype = random.one_of(kDTypes);
    const std::int64_t outer = random.integer(0, 4), inner = random.integer(1, 40), size = random.integer(1, 9),
                       taken = random.integer(0, 12);
    const int axis = static_cast<int>(random.integer(0, 2));
    // The same three sizes, with the axis first, in the middle or last.
    auto shape = [&](std::int64_t along) {
      return axis == 0   ? Shape{along, outer, inner}
             : axis == 1 ? Shape{outer, along, inner}
                         : Shape{outer, inner, along};
    };
    const std::int64_t lines = axis == 0 ? 1 : axis == 1 ? outer : outer * inner;
    const std::int64_t columns = axis == 0 ? outer * inner : axis == 1 ? inner : 1;
    CAPTURE(std::string(name(dtype)));
    CAPTURE(axis);
    const Array x = whole_numbers(random, shape(size), dtype), added = whole_numbers(random, shape(taken), dtype);
    std::vector<std::int64_t> index(static_cast<std::size_t>(shape(taken).numel()));
    for (auto& i : index) i = random.integer(0, size - 1);
    const Array indices = Array::from<std::int64_t>(index, shape(taken), "cpu");

    const auto xv = x.values<double>(), av = added.values<double>();
    std::vector<double> gathered(index.size()), sums = xv;
    for (std::int64_t i = 0; i < lines; ++i)
      for (std::int64_t j = 0; j < taken; ++j)
        for (std::int64_t k = 0; k < columns; ++k) {
          const auto at = static_cast<std::size_t>((i * taken + j) * columns + k);
          const auto place = static_cast<std::size_t>((i * size + index[at]) * columns + k);
          gathered[at] = xv[place];
          sums[place] = dtype == DType::boolean ? std::max(sums[place], av[at]) : sums[place] + av[at];
        }
    for (int threads = 1; threads <= 3; threads += 2) {
      const Threads scope(threads);
      const Array out = unwritten(shape(taken), dtype);
      Device("cpu").backend().gather(x, axis, indices, out);
      CHECK(out.values<double>() == gathered);
      const Array total = unwritten(shape(size), dtype);
      Device("cpu").backend().copy(x, total);
      Device("cpu").backend().scatter_add(added, axis, indices, total);
      CHECK(total.values<double>() == sums);
    }
  }
}

TEST_CASE("scatter_add: additions happen in order, whatever the number of threads") {
  Generator random(2);
  const std::int64_t rows = 5000, columns = 64;
  const Array x = random.array({rows, columns}, DType::float32);
  std::vector<std::int64_t> index(static_cast<std::size_t>(rows * columns));
  for (auto& i : index) i = random.integer(0, 2);
  std::vector<float> expected(static_cast<std::size_t>(3 * columns));
  const auto values = x.values<float>();
  for (std::size_t i = 0; i < index.size(); ++i)
    expected[static_cast<std::size_t>(index[i] * columns) + i % 64] += values[i];
  for (int threads = 1; threads <= 3; ++threads) {
    const Threads scope(threads);
    const Array out = Array::from<float>(std::vector<float>(expected.size()), {3, columns}, "cpu");
    Device("cpu").backend().scatter_add(x, 0, Array::from<std::int64_t>(index, {rows, columns}, "cpu"), out);
    CHECK(out.values<float>() == expected);
  }
}
