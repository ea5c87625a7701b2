#include <doctest/doctest.h>

#include <cmath>
#include <iterator>
#include <limits>
#include <string>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/sorting.h>

#include "views.h"

using namespace mnemo;
using namespace views;
using numbers::Threads;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

/// Whether a comes before b, NaN being above all numbers.
bool is_before(double a, double b, bool descending) {
  if (descending) std::swap(a, b);
  return std::isnan(b) ? !std::isnan(a) : a < b;
}

/// The places of the first `count` elements along an axis, in row-major order: as many come before an element as its
/// place in the order says.
std::vector<double> places_slowly(const std::vector<double>& values, const Shape& shape, int axis, bool descending,
                                  std::int64_t count) {
  const std::int64_t step = shape.contiguous_strides()[axis], size = shape[axis];
  std::vector<double> places(static_cast<std::size_t>(shape.with(axis, count).numel()));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const std::int64_t own = i / step % size, first = i - own * step;
    std::int64_t rank = 0;
    for (std::int64_t j = 0; j < size; ++j) {
      const double mine = values[static_cast<std::size_t>(i)],
                   other = values[static_cast<std::size_t>(first + j * step)];
      const bool same = !is_before(mine, other, descending) && !is_before(other, mine, descending);
      rank += same ? j < own : is_before(other, mine, descending);
    }
    const std::int64_t line = first / (step * size) * count * step + first % step;
    if (rank < count) places[static_cast<std::size_t>(line + rank * step)] = static_cast<double>(own);
  }
  return places;
}

std::vector<double> taken_slowly(const std::vector<double>& values, const Shape& shape, int axis,
                                 const std::vector<double>& places, std::int64_t count) {
  const std::int64_t step = shape.contiguous_strides()[axis], size = shape[axis];
  std::vector<double> taken;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(places.size()); ++i) {
    const auto place = static_cast<std::int64_t>(places[static_cast<std::size_t>(i)]);
    taken.push_back(values[static_cast<std::size_t>((i / (step * count) * size + place) * step + i % step)]);
  }
  return taken;
}

/// Also in the sign of zeros.
bool same_numbers(const std::vector<double>& a, const std::vector<double>& b) {
  bool same = same_values(a, b);
  for (std::size_t i = 0; same && i < a.size(); ++i)
    same = std::isnan(a[i]) || std::signbit(a[i]) == std::signbit(b[i]);
  return same;
}

using Places = std::vector<std::int64_t>;

Places places_of(const std::vector<double>& values, DType dtype, bool descending) {
  const Array x = Array::from(values, {static_cast<std::int64_t>(values.size())}, "cpu").to(dtype);
  return sorted_places("argsort", x, 0, descending).values<std::int64_t>();
}

}  // namespace

TEST_CASE("sort: along every axis of any shape and strides, in every dtype, both ways and of any number of elements") {
  Generator random(1);
  for (int round = 0; round < 400; ++round) {
    const DType dtype = random.one_of(kDTypes);
    const Array x = scattered(random, any_shape(random, 4, 20), dtype);
    write(x, any_values(random, dtype, x.numel(), round % 3 == 0));
    const auto values = elements(x);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(x.shape().text());
    CAPTURE(x.strides().text());
    for (int axis = 0; axis < x.rank(); ++axis) {
      for (const bool descending : {false, true}) {
        const std::int64_t size = x.size(axis), count = random.integer(0, 2) == 0 ? size : random.integer(0, size);
        CAPTURE(count);
        const SortedArrays found = sort("topk", x, axis, descending, count);
        CHECK(found.values.dtype() == dtype);
        CHECK(found.indices.dtype() == DType::int64);
        CHECK(found.values.shape() == x.shape().with(axis, count));
        CHECK(found.indices.shape() == x.shape().with(axis, count));
        const auto places = places_slowly(values, x.shape(), axis, descending, count);
        CHECK(elements(found.indices) == places);
        CHECK(same_numbers(elements(found.values), taken_slowly(values, x.shape(), axis, places, count)));
        if (count == size) CHECK(elements(sorted_places("argsort", x, axis - x.rank(), descending)) == places);
      }
    }
  }
}

TEST_CASE("sort: lines of some hundred elements of every dtype") {
  Generator random(3);
  for (int round = 0; round < 48; ++round) {
    const DType dtype = kDTypes[static_cast<std::size_t>(round) % std::size(kDTypes)];
    const bool descending = round % 3 == 0;
    const Shape shape{3, random.integer(60, 400)};
    const Array x = numbers::unwritten(shape, dtype);
    write(x, any_values(random, dtype, x.numel(), true));
    CAPTURE(std::string(name(dtype)));
    CAPTURE(shape.text());
    for (const std::int64_t count : {shape[1], shape[1] / 2, std::int64_t{7}}) {
      CAPTURE(count);
      CHECK(elements(sort("topk", x, 1, descending, count).indices) ==
            places_slowly(elements(x), shape, 1, descending, count));
    }
  }
}

TEST_CASE("sort: equal elements, zeros of both signs, infinities and NaN, on paper") {
  const std::vector<double> x = {2, kNan, -0.0, kInfinity, 0, -kInfinity, 2, kNan, -1};
  for (const DType dtype : numbers::kFloating) {
    CAPTURE(std::string(name(dtype)));
    CHECK(places_of(x, dtype, false) == Places{5, 8, 2, 4, 0, 6, 3, 1, 7});
    CHECK(places_of(x, dtype, true) == Places{1, 7, 3, 0, 6, 2, 4, 8, 5});
  }
  CHECK(places_of({3, -7, 3, 0, -7}, DType::int32, false) == Places{1, 4, 3, 0, 2});
  CHECK(places_of({3, 250, 3, 0}, DType::uint8, true) == Places{1, 0, 2, 3});
  CHECK(places_of({1, 0, 1, 0}, DType::boolean, false) == Places{1, 3, 0, 2});
  CHECK(places_of({1, 0, 1, 0}, DType::boolean, true) == Places{0, 2, 1, 3});
}

// As doubles the two are equal.
TEST_CASE("sort: large integers are compared exactly") {
  constexpr std::int64_t large = std::int64_t{1} << 53, least = std::numeric_limits<std::int64_t>::min();
  const Array x = Array::from<std::int64_t>({large + 1, large, least, large + 1, -1}, {5}, "cpu");
  CHECK(sorted_places("argsort", x, 0, false).values<std::int64_t>() == Places{2, 4, 1, 0, 3});
  CHECK(sort("topk", x, 0, true, 3).values.values<std::int64_t>() == Places{large + 1, large + 1, large});
}

TEST_CASE("sort: long lines and the first of them, in falling, rising and repeated numbers") {
  for (const std::int64_t size : {5000, 70000}) {
    std::vector<double> falling, repeated;
    for (std::int64_t i = 0; i < size; ++i)
      falling.push_back(static_cast<double>(-i)), repeated.push_back(static_cast<double>(i * 7919 % 1000));
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Array x = Array::from(falling, {size}, "cpu").to(dtype), y = Array::from(repeated, {size}, "cpu").to(dtype);
      CHECK(sort("topk", x, 0, false, 3).indices.values<std::int64_t>() == Places{size - 1, size - 2, size - 3});
      CHECK(sort("topk", x, 0, true, 3).indices.values<std::int64_t>() == Places{0, 1, 2});
      CHECK(sorted_places("argsort", x, 0, false).values<std::int64_t>().front() == size - 1);
      // 7919 i is a multiple of 1000 where i is one.
      CHECK(sort("topk", y, 0, false, 4).indices.values<std::int64_t>() == Places{0, 1000, 2000, 3000});
      const Places all = sorted_places("argsort", y, 0, false).values<std::int64_t>();
      for (std::int64_t i = 0; i < size; ++i) {
        // Each of the 1000 numbers is there equally often, in the order of its places, which lie 1000 apart.
        const std::int64_t number = i / (size / 1000), place = all[static_cast<std::size_t>(i)];
        if (place * 7919 % 1000 != number || place / 1000 != i % (size / 1000))
          FAIL("element " << i << " is " << place);
      }
    }
  }
}

TEST_CASE("sort: any number of threads gives the same bits") {
  Generator random(2);
  const Array x = random.array({40, 30, 50}, DType::float32);
  for (const int axis : {0, 1, 2}) {
    for (const std::int64_t count : {x.size(axis), std::int64_t{7}}) {
      const Threads one(1);
      const SortedArrays alone = sort("topk", x, axis, true, count);
      const Threads three(3);
      const SortedArrays together = sort("topk", x, axis, true, count);
      CHECK(numbers::same_bits(alone.values, together.values));
      CHECK(numbers::same_bits(alone.indices, together.indices));
    }
  }
}

TEST_CASE("sort: a scalar, empty axes, and what is refused") {
  const Array scalar = Array::from<double>({4}, Shape{}, "cpu");
  const SortedArrays one = sort("sort", scalar, -1, false);
  CHECK(one.values.shape() == Shape{});
  CHECK(one.values.item() == 4);
  CHECK(one.indices.item() == 0);
  CHECK_THROWS_AS((void)sort("topk", scalar, 0, false, 0), ShapeError);
  CHECK_THROWS_AS((void)sort("topk", scalar, 1, false, 1), ShapeError);
  CHECK(sort("sort", Array({2, 0, 3}, DType::float32, "cpu"), 1, false).indices.shape() == Shape{2, 0, 3});
  CHECK(sort("topk", Array({0, 4}, DType::float32, "cpu"), 1, true, 3).values.shape() == Shape{0, 3});
  CHECK(sort("topk", Array({2, 4}, DType::float32, "cpu"), 1, true, 0).values.shape() == Shape{2, 0});
  CHECK_THROWS_AS((void)sort("sort", Array({3}, DType::float32, "cpu"), 1, false), ShapeError);
  CHECK_THROWS_AS((void)sorted_places("argsort", {}, 0, false), Error);
  CHECK_THROWS_WITH((void)sort("topk", Array({2, 3}, DType::float32, "cpu"), -1, true, 5),
                    "[topk] k is 5, but axis 1 of (2, 3) has 3 elements: allowed are 0 to 3");
}

TEST_CASE("sort: what is known of the places spares a look at them") {
  const SortedArrays found = sort("topk", Array::from<float>({1, 3, 2}, {3}, "cpu"), 0, true, 2);
  REQUIRE(found.indices.storage()->integers());
  CHECK(found.indices.storage()->integers()->least == 0);
  CHECK(found.indices.storage()->integers()->greatest == 2);
}

TEST_CASE("sort: the workspace of a GPU, on paper, and none on a CPU") {
  const auto bytes = [](const char* device, const SortSizes& sizes, DType dtype) {
    return Device::open(device).backend().decisions().sort_workspace(sizes, dtype);
  };
  for (const char* device : {"virtual:h200", "virtual:16GiB"}) {
    CAPTURE(device);
    CHECK(bytes(device, {9, 2048, 2048}, DType::float64) == 0);  // a block does it all
    // Two tiles, which are joined: words of 8 bytes or of 16.
    CHECK(bytes(device, {3, 4096, 4096}, DType::float32) == 3 * 4096 * 8);
    CHECK(bytes(device, {3, 4096, 4096}, DType::int64) == 3 * 4096 * 16);
    // Three tiles, joined twice: narrow words take turns with the result.
    CHECK(bytes(device, {1, 5000, 5000}, DType::bfloat16) == 5000 * 8);
    CHECK(bytes(device, {1, 5000, 5000}, DType::float64) == 2 * 5000 * 16);
    // 48 tiles and one of 1696, of which 10 each stay: one more tile.
    CHECK(bytes(device, {2, 100000, 10}, DType::float32) == 2 * 490 * 8);
    // Tiles leave 5 * 1500, then two pairs of runs and one alone 3 * 1500, then 2 * 1500.
    CHECK(bytes(device, {1, 10000, 1500}, DType::float32) == (7500 + 4500) * 8);
  }
  for (const char* device : {"cpu", "virtual:cpu"}) CHECK(bytes(device, {1, 100000, 100000}, DType::float64) == 0);
}

TEST_CASE("sort: places are made in no memory but their own on a CPU, and with the workspace on a virtual GPU") {
  const auto most = [](const char* name) {
    const Device device = Device::open(name);
    const Array x({5000}, DType::float32, device);
    const auto before = device.allocator().statistics().requested_bytes.all.current;
    (void)sorted_places("argsort", x, 0, false);
    return device.allocator().statistics().requested_bytes.all.peak - before;
  };
  CHECK(most("cpu") == 5000 * 8);
  CHECK(most("virtual:cpu") == 5000 * 8);
  CHECK(most("virtual:h200") == 5000 * 8 * 2);
}
