#include <mnemo/core/shape.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/error.h>

namespace mnemo {

Dims::Dims(std::span<const std::int64_t> values) {
  if (values.size() > kMaxRank) {
    fail<ShapeError>("shape", fmt::format("{} dimensions given, at most {} are supported", values.size(), kMaxRank));
  }
  std::copy(values.begin(), values.end(), values_.begin());
  rank_ = static_cast<int>(values.size());
}

void Dims::push_back(std::int64_t value) {
  if (rank_ == kMaxRank) {
    fail<ShapeError>("shape", fmt::format("more than {} dimensions; merge some with reshape", kMaxRank));
  }
  values_[static_cast<std::size_t>(rank_++)] = value;
}

std::string Dims::text() const { return fmt::format("({})", fmt::join(begin(), end(), ", ")); }

std::int64_t checked_multiply(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    fail<ShapeError>("shape", fmt::format("{} overflows 64 bits: {} * {}", what, a, b));
  }
  return product;
}

std::int64_t Shape::count() const {
  // Zeros are left out of the overflow check: the strides of (2^40, 2^40, 0) would overflow all the same.
  std::int64_t product = 1;
  bool empty = false;
  for (std::int64_t size : *this) {
    if (size < 0) fail<ShapeError>("shape", fmt::format("size {} in {} is negative", size, text()));
    empty = empty || size == 0;
    if (size != 0 && __builtin_mul_overflow(product, size, &product)) {
      fail<ShapeError>("shape", fmt::format("the number of elements of {} overflows 64 bits", text()));
    }
  }
  return empty ? 0 : product;
}

Shape Shape::with(int axis, std::int64_t size) const {
  Dims sizes = *this;
  sizes[axis] = size;
  return Shape(sizes);
}

Dims Shape::contiguous_strides() const {
  Dims strides = *this;
  std::int64_t stride = 1;
  for (int axis = rank() - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= std::max<std::int64_t>((*this)[axis], 1);
  }
  return strides;
}

int normalize_axis(int axis, int rank, const char* op) {
  const int positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    fail<ShapeError>(
        op, fmt::format("axis {} is out of range for {} dimensions (allowed: {} to {})", axis, rank, -rank, rank - 1));
  }
  return positive;
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  if (a == b) return a;
  Dims sizes = a.rank() >= b.rank() ? a : b;
  const int rank = sizes.rank();
  for (int axis = 0; axis < rank; ++axis) {
    const int axis_a = axis - (rank - a.rank());
    const int axis_b = axis - (rank - b.rank());
    const std::int64_t size_a = axis_a < 0 ? 1 : a[axis_a];
    const std::int64_t size_b = axis_b < 0 ? 1 : b[axis_b];
    if (size_a != size_b && size_a != 1 && size_b != 1) {
      fail<ShapeError>(op,
                       fmt::format("shapes {} and {} do not broadcast: sizes {} and {} meet at axis {} of the result; "
                                   "they must be equal or 1",
                                   a.text(), b.text(), size_a, size_b, axis));
    }
    sizes[axis] = size_a == 1 ? size_b : size_a;
  }
  return Shape(sizes);
}

}  // namespace mnemo
