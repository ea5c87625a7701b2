#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <mnemo/core/error.h>

#include "views.h"

using namespace mnemo;
using namespace views;

namespace {

/// A view as the list of its elements: what a layout should mean.
struct List {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> elements;  ///< offsets, row-major

  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t size : sizes) n *= size;
    return n;
  }
  std::vector<std::int64_t> index_of(std::int64_t flat) const {
    std::vector<std::int64_t> index(sizes.size());
    for (std::size_t axis = sizes.size(); axis-- > 0; flat /= sizes[axis]) index[axis] = flat % sizes[axis];
    return index;
  }
  std::int64_t at(const std::vector<std::int64_t>& index) const {
    std::int64_t flat = 0;
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) flat = flat * sizes[axis] + index[axis];
    return elements[static_cast<std::size_t>(flat)];
  }
  /// The view of these sizes whose element at `index` is this one's at `source(index)`.
  template <class Source>
  List seen(std::vector<std::int64_t> new_sizes, const Source& source) const {
    List result{std::move(new_sizes), {}};
    for (std::int64_t i = 0; i < result.count(); ++i) result.elements.push_back(at(source(result.index_of(i))));
    return result;
  }
};

/// A layout and what it should mean.
struct Pair {
  Layout layout;
  List list;
};

Pair dense(const Shape& shape) {
  Pair result{Layout::contiguous(shape), {{shape.begin(), shape.end()}, {}}};
  for (std::int64_t i = 0; i < shape.numel(); ++i) result.list.elements.push_back(i);
  return result;
}

/// One more random view of it.
Pair viewed(Generator& random, const Pair& from) {
  const int rank = from.layout.shape.rank();
  const auto& sizes = from.list.sizes;
  using Index = std::vector<std::int64_t>;
  switch (random.integer(0, 4)) {
    case 0: {
      Dims order;
      std::vector<std::int64_t> axes;
      for (int axis = 0; axis < rank; ++axis) axes.insert(axes.begin() + random.integer(0, axis), axis);
      Index permuted;
      for (std::int64_t axis : axes) {
        order.push_back(axis);
        permuted.push_back(sizes[static_cast<std::size_t>(axis)]);
      }
      return {from.layout.permute(order), from.list.seen(permuted, [&](const Index& index) {
                Index source(index.size());
                for (std::size_t i = 0; i < axes.size(); ++i) source[static_cast<std::size_t>(axes[i])] = index[i];
                return source;
              })};
    }
    case 1: {
      if (rank == 0) return from;
      const auto axis = static_cast<std::size_t>(random.integer(0, rank - 1));
      const std::int64_t begin = random.integer(0, sizes[axis]), end = random.integer(begin, sizes[axis]),
                         step = random.integer(1, 3);
      Index cut = sizes;
      cut[axis] = 0;
      for (std::int64_t i = begin; i < end; i += step) ++cut[axis];
      return {from.layout.slice(static_cast<int>(axis), begin, end, step), from.list.seen(cut, [&](Index index) {
                index[axis] = begin + index[axis] * step;
                return index;
              })};
    }
    case 2: {
      Index target = sizes;
      for (std::int64_t& size : target) {
        if (size == 1 && random.integer(0, 1) == 0) size = random.integer(0, 3);
      }
      const std::size_t added = rank < 5 ? static_cast<std::size_t>(random.integer(0, 1)) : 0;
      if (added > 0) target.insert(target.begin(), random.integer(1, 3));
      return {from.layout.expand(Shape(Dims(target))), from.list.seen(target, [&](const Index& index) {
                Index source(index.begin() + static_cast<std::ptrdiff_t>(added), index.end());
                for (std::size_t axis = 0; axis < source.size(); ++axis)
                  source[axis] = sizes[axis] == 1 ? 0 : source[axis];
                return source;
              })};
    }
    case 3: {
      if (rank >= 6) return from;
      const int axis = static_cast<int>(random.integer(-rank - 1, rank));
      List list = from.list;
      list.sizes.insert(list.sizes.begin() + (axis < 0 ? axis + rank + 1 : axis), 1);
      return {from.layout.unsqueeze(axis), list};
    }
    default: {
      for (int axis = 0; axis < rank; ++axis) {
        if (sizes[static_cast<std::size_t>(axis)] != 1) continue;
        List list = from.list;
        list.sizes.erase(list.sizes.begin() + axis);
        return {from.layout.squeeze(axis - rank), list};
      }
      return from;
    }
  }
}

/// A random way to write `count` as a product.
Shape any_product(Generator& random, std::int64_t count) {
  Dims sizes;
  if (count == 0) return Shape{random.integer(0, 2), 0, 3};
  while (sizes.rank() < 6 && (count > 1 || random.integer(0, 2) == 0)) {
    std::vector<std::int64_t> divisors;
    for (std::int64_t d = 1; d <= count; ++d) {
      if (count % d == 0) divisors.push_back(d);
    }
    const std::int64_t size =
        sizes.rank() == 5
            ? count
            : divisors[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(divisors.size()) - 1))];
    sizes.push_back(size);
    count /= size;
  }
  return Shape(sizes);
}

/// Whether any strides show `elements` under `shape`: each is fixed by one step along its axis.
bool expressible(const Shape& shape, const std::vector<std::int64_t>& elements) {
  Dims strides = shape.contiguous_strides();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] > 1) strides[axis] = elements[static_cast<std::size_t>(strides[axis])] - elements[0];
  }
  return places({shape, strides, elements.empty() ? 0 : elements[0]}) == elements;
}

}  // namespace

TEST_CASE("layout: permute, slice, expand, squeeze and unsqueeze show the elements that they should") {
  Generator random(1);
  int contiguous = 0, only_dense = 0, kept = 0, refused = 0;
  for (int round = 0; round < 10000; ++round) {
    Pair pair = dense(any_shape(random, 4, 4));
    for (std::int64_t views = random.integer(0, 5); views > 0 && pair.list.count() < 2000; --views)
      pair = viewed(random, pair);
    const Layout& layout = pair.layout;
    const auto& elements = pair.list.elements;
    CAPTURE(layout.shape.text());
    CAPTURE(layout.strides.text());
    REQUIRE(layout.shape == Shape(Dims(pair.list.sizes)));
    REQUIRE(places(layout) == elements);

    auto sorted = elements;
    std::sort(sorted.begin(), sorted.end());
    bool in_order = true, gapless = true;
    for (std::size_t i = 0; i < elements.size(); ++i) {
      in_order = in_order && elements[i] == elements[0] + static_cast<std::int64_t>(i);
      gapless = gapless && sorted[i] == sorted[0] + static_cast<std::int64_t>(i);
    }
    CHECK(layout.is_contiguous() == in_order);
    CHECK(layout.is_dense() == gapless);
    contiguous += in_order;
    only_dense += gapless && !in_order;

    const Shape target = any_product(random, layout.shape.numel());
    CAPTURE(target.text());
    if (const auto view = layout.reshape(target)) {
      CHECK(view->shape == target);
      CHECK(places(*view) == elements);
      ++kept;
    } else {
      CHECK_FALSE(expressible(target, elements));
      ++refused;
    }
  }
  CHECK(std::min({contiguous, only_dense, kept, refused}) > 300);
}

TEST_CASE("layout: what cannot be viewed is refused") {
  const Layout layout = Layout::contiguous({2, 3, 1});
  for (const Dims& order : {Dims{0, 1}, Dims{0, 1, 1}, Dims{0, 1, 3}, Dims{0, 1, -1}, Dims{0, 1, 2, 3}})
    CHECK_THROWS_AS(layout.permute(order), ShapeError);
  CHECK_THROWS_AS(layout.slice(1, -1, 2), ShapeError);
  CHECK_THROWS_AS(layout.slice(1, 2, 1), ShapeError);
  CHECK_THROWS_AS(layout.slice(1, 0, 4), ShapeError);
  CHECK_THROWS_AS(layout.slice(1, 0, 3, 0), ShapeError);
  CHECK_THROWS_AS(layout.slice(1, 0, 3, -1), ShapeError);
  CHECK_THROWS_AS(layout.slice(3, 0, 1), ShapeError);
  CHECK_THROWS_AS(layout.expand({3, 1}), ShapeError);
  CHECK_THROWS_AS(layout.expand({2, 4, 1}), ShapeError);
  CHECK_THROWS_AS(layout.expand({0, 3, 1}), ShapeError);
  CHECK_THROWS_AS(layout.squeeze(0), ShapeError);
  CHECK_THROWS_AS(layout.squeeze(3), ShapeError);
  CHECK_THROWS_AS(layout.unsqueeze(4), ShapeError);
  CHECK_THROWS_AS(Layout::contiguous({1, 1, 1, 1, 1, 1, 1, 1}).unsqueeze(0), ShapeError);
  CHECK(layout.slice(1, 1, 3, std::numeric_limits<std::int64_t>::max()).shape == Shape{2, 1, 1});
}

// Offsets of empty views grew past their memory, and for sizes near 2^63 past 64 bits.
TEST_CASE("layout: an empty view stays where it was") {
  const std::int64_t large = std::int64_t{1} << 61;
  const Layout layout = Layout::contiguous({0, 3, large});
  CHECK(layout.slice(1, 3, 3).slice(2, large, large).offset == 0);
  CHECK(layout.slice(1, 1, 2).offset == 0);
  CHECK(Layout::contiguous({4, 3}).slice(0, 4, 4).offset == 0);
  const Layout two = Layout::contiguous({0, (std::int64_t{1} << 62) + 1})
                         .slice(1, 0, (std::int64_t{1} << 62) + 1, std::int64_t{1} << 62);
  CHECK(two.unsqueeze(1).shape == Shape{0, 1, 2});
}

TEST_CASE("reshape of an array: a view where strides allow, else a copy; one size may be -1") {
  Generator random(2);
  for (int round = 0; round < 2000; ++round) {
    const Array x = scattered(random, any_shape(random), DType::int32);
    write(x, any_values(random, DType::int32, x.numel()));
    const Shape target = any_product(random, x.numel());
    const Array y = x.reshape(target);
    CHECK(y.shape() == target);
    CHECK(elements(y) == elements(x));
    CHECK((y.storage() == x.storage()) == x.layout().reshape(target).has_value());
  }
  const Array x({2, 3, 4}, DType::float32, "cpu");
  CHECK(x.reshape({-1}).shape() == Shape{24});
  CHECK(x.reshape({6, -1}).shape() == Shape{6, 4});
  CHECK(x.reshape({4, -1, 6}).shape() == Shape{4, 1, 6});
  CHECK(Array({0, 3}, DType::float32, "cpu").reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK(Array(Shape{}, DType::float32, "cpu").reshape({1, 1}).reshape(Dims{}).shape() == Shape{});
  for (const Dims& bad : {Dims{5, -1}, Dims{-1, -1}, Dims{24, 2}, Dims{-2, -12}, Dims{0, -1}, Dims{-2, -1},
                          Dims{std::int64_t{1} << 62, 4, 0}, Dims{}}) {
    CHECK_THROWS_AS(x.reshape(bad), ShapeError);
  }
  CHECK_THROWS_WITH(x.reshape({5, -1}),
                    "[reshape] (2, 3, 4) has 24 elements, which the other sizes of (5, -1) do not divide");
}
