// Views for tests: where the elements of a layout lie, arrays with gaps and any order of strides, elements read and
// written one by one.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "formats.h"
#include "numbers.h"

namespace views {

using mnemo::Array;
using mnemo::Dims;
using mnemo::DType;
using mnemo::Layout;
using mnemo::Shape;
using numbers::Generator;

/// The offset of every element in row-major order, by counting up indices.
inline std::vector<std::int64_t> places(const Layout& layout) {
  std::vector<std::int64_t> result;
  std::vector<std::int64_t> index(static_cast<std::size_t>(layout.shape.rank()));
  for (std::int64_t i = 0; i < layout.shape.numel(); ++i) {
    std::int64_t place = layout.offset;
    for (int axis = 0; axis < layout.shape.rank(); ++axis)
      place += index[static_cast<std::size_t>(axis)] * layout.strides[axis];
    result.push_back(place);
    for (int axis = layout.shape.rank() - 1; axis >= 0 && ++index[static_cast<std::size_t>(axis)] == layout.shape[axis];
         --axis)
      index[static_cast<std::size_t>(axis)] = 0;
  }
  return result;
}

/// The elements in row-major order.
inline std::vector<double> elements(const Array& array) {
  std::vector<double> result;
  visit(array.dtype(), [&](auto zero) {
    const auto* data = reinterpret_cast<const decltype(zero)*>(array.storage()->data());
    for (const std::int64_t place : places(array.layout())) result.push_back(formats::plain(data[place]));
  });
  return result;
}

inline void write(const Array& array, const std::vector<double>& values) {
  visit(array.dtype(), [&](auto zero) {
    using T = decltype(zero);
    auto* data = reinterpret_cast<T*>(array.storage()->data());
    std::size_t i = 0;
    for (const std::int64_t place : places(array.layout())) data[place] = mnemo::cast<T>(values[i++]);
  });
}

/// Sizes of a small shape: now and then 0 or 1.
inline Shape any_shape(Generator& random, int most_axes = 4, std::int64_t largest = 6) {
  Dims sizes;
  for (std::int64_t rank = random.integer(0, most_axes); rank > 0; --rank) {
    const std::int64_t kind = random.integer(0, 19);
    sizes.push_back(kind == 0 ? 0 : kind < 3 ? 1 : random.integer(1, largest));
  }
  return Shape(sizes);
}

/// An array of that shape whose elements lie apart, in any order of axes, in memory that is 0xff otherwise.
inline Array scattered(Generator& random, const Shape& shape, DType dtype) {
  const int rank = shape.rank();
  std::vector<int> order;
  for (int axis = 0; axis < rank; ++axis) order.insert(order.begin() + random.integer(0, axis), axis);
  Dims sizes, back = shape;
  std::vector<std::int64_t> steps, begins;
  const bool gaps = random.integer(0, 1) == 0;  // otherwise dense
  for (int axis = 0; axis < rank; ++axis) {
    const std::int64_t size = shape[order[static_cast<std::size_t>(axis)]];
    steps.push_back(gaps ? random.integer(1, 2) : 1);
    begins.push_back(gaps ? random.integer(0, 2) : 0);
    sizes.push_back(begins.back() + size * steps.back());
    back[order[static_cast<std::size_t>(axis)]] = axis;
  }
  Array array = numbers::unwritten(Shape(sizes), dtype);
  for (int axis = 0; axis < rank; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    array = array.slice(axis, begins[at], sizes[axis], steps[at]);
  }
  return array.permute(back);
}

/// The bytes of the whole storage.
inline std::vector<std::byte> memory_of(const Array& array) {
  const std::byte* data = array.storage()->data();
  return data ? std::vector<std::byte>(data, data + array.storage()->bytes()) : std::vector<std::byte>{};
}

/// Whether bytes that belong to none of the array's elements differ from `before`.
inline bool gaps_changed(const Array& array, const std::vector<std::byte>& before) {
  std::vector<std::byte> now = memory_of(array);
  const auto size = static_cast<std::size_t>(size_of(array.dtype()));
  for (const std::int64_t place : places(array.layout())) {
    const auto at = static_cast<std::size_t>(place) * size;
    std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(at), size, now.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return now != before;
}

/// Whole numbers that the dtype holds exactly; floating types now and then get NaN, infinity and negative zero.
inline std::vector<double> any_values(Generator& random, DType dtype, std::int64_t count, bool special = false) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) {
    const bool is_unsigned = dtype == DType::uint8 || dtype == DType::boolean;
    value = static_cast<double>(random.integer(is_unsigned ? 0 : -9, dtype == DType::boolean ? 1 : 9));
    if (!is_floating(dtype)) continue;
    value /= 4;
    if (!special || random.integer(0, 9) > 0) continue;
    const double specials[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity(), -0.0};
    value = random.one_of(specials);
  }
  return values;
}

inline bool same_values(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), formats::same);
}

}  // namespace views
