// Sizes per dimension, at most eight, with checked 64-bit arithmetic.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace mnemo {

inline constexpr int kMaxRank = 8;

/// A short list of integers per dimension: strides, permutations, the base of Shape.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<std::int64_t> values) : Dims(std::span(values.begin(), values.size())) {}
  /// Throws ShapeError for more than eight values.
  explicit Dims(std::span<const std::int64_t> values);

  int rank() const { return rank_; }
  /// REQUIRES: 0 <= axis < rank().
  std::int64_t operator[](int axis) const { return values_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return values_[static_cast<std::size_t>(axis)]; }
  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + rank_; }
  void push_back(std::int64_t value);

  /// "(2, 3, 32, 32)"
  std::string text() const;

  friend bool operator==(const Dims& a, const Dims& b) {
    // A loop of our own: of so few numbers std::equal's call of memcmp is dearer than the comparison.
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis) {
      if (a[axis] != b[axis]) return false;
    }
    return true;
  }

 private:
  std::array<std::int64_t, kMaxRank> values_{};
  int rank_ = 0;
};

/// Sizes per dimension. Sizes are never negative, and their product fits in 63 bits (checked without regard to zeros).
class Shape : public Dims {
 public:
  Shape() = default;  ///< a scalar: rank 0, one element
  Shape(std::initializer_list<std::int64_t> sizes) : Dims(sizes), numel_(count()) {}
  /// Throws ShapeError when a size is negative or the product overflows.
  explicit Shape(const Dims& sizes) : Dims(sizes), numel_(count()) {}

  std::int64_t numel() const { return numel_; }
  /// To be read alone: sizes change by making a new Shape.
  std::int64_t operator[](int axis) const { return Dims::operator[](axis); }
  void push_back(std::int64_t) = delete;

  /// The same shape with one size replaced.
  Shape with(int axis, std::int64_t size) const;
  /// Strides of the row-major layout, in elements.
  Dims contiguous_strides() const;

 private:
  std::int64_t count() const;

  std::int64_t numel_ = 1;
};

/// a * b; throws ShapeError when it overflows.
std::int64_t checked_multiply(std::int64_t a, std::int64_t b, const char* what);

/// Turns a negative axis (-1: last) into 0..rank-1; throws ShapeError naming `op` when out of range.
int normalize_axis(int axis, int rank, const char* op);

/// The shape that both broadcast to; throws ShapeError naming `op` and both shapes.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

}  // namespace mnemo
