// Where the elements of an array lie in its storage: shape, strides and offset. Views change only this.
#pragma once

#include <array>
#include <optional>

#include <mnemo/core/shape.h>

namespace mnemo {

/// Element (i0, i1, ...) lies at `offset + sum(i * stride)`, counted in elements. Stride 0 repeats (expand).
struct Layout {
  Shape shape;
  Dims strides;
  std::int64_t offset = 0;

  static Layout contiguous(const Shape& shape) { return {shape, shape.contiguous_strides(), 0}; }

  /// Row-major without gaps; sizes 0 and 1 put no condition on their stride.
  bool is_contiguous() const;
  /// (N, C, sizes...) without gaps, the channels innermost; both this and row-major where C or all sizes are 1.
  bool is_channels_last() const;
  /// Every element of a gapless block exactly once, in any order of dimensions (channels-last is dense).
  bool is_dense() const;

  /// Writes the axes of sizes other than 1 into `axes`, largest stride first, and returns how many they are.
  int axes_by_stride(std::array<int, kMaxRank>& axes) const;

  /// Throws ShapeError unless `order` is a permutation of the axes.
  Layout permute(const Dims& order) const;
  /// Elements begin, begin+step, ... below end along an axis; 0 <= begin <= end <= size, step > 0, else ShapeError.
  Layout slice(int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1) const;
  /// Repeats dimensions of size 1 (and adds leading ones) without copying.
  Layout expand(const Shape& shape) const;
  /// Removes an axis of size 1.
  Layout squeeze(int axis) const;
  /// Adds an axis of size 1 before `axis`.
  Layout unsqueeze(int axis) const;
  /// The same elements in row-major order under another shape, if strides can express it. REQUIRES: equal numel.
  std::optional<Layout> reshape(const Shape& shape) const;
};

}  // namespace mnemo
