// The layouts that images keep from operation to operation: row-major, and channels-last. Private.
#pragma once

#include <mnemo/core/array.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/conv.h>
#include <mnemo/core/work.h>

namespace mnemo {

/// channels_last where x (N, C, sizes...) is that and not row-major too.
inline ConvLayout layout_of(const Array& x) {
  return !x.is_contiguous() && x.is_channels_last() ? ConvLayout::channels_last : ConvLayout::contiguous;
}

/// New memory for (N, C, sizes...) in a layout.
inline Array new_array(const Shape& shape, DType dtype, const Device& device, ConvLayout layout) {
  if (layout == ConvLayout::contiguous) return {shape, dtype, device};
  Dims inward{shape[0]}, outward{0, shape.rank() - 1};
  for (int axis = 2; axis < shape.rank(); ++axis) inward.push_back(shape[axis]), outward.push_back(axis - 1);
  inward.push_back(shape[1]);
  return Array(Shape(inward), dtype, device).permute(outward);
}

inline Array in_layout(const Array& array, ConvLayout layout) {
  return layout == ConvLayout::channels_last ? array.channels_last() : array.contiguous();
}

/// The same in another dtype, cast and moved in one pass.
inline Array in_layout(const Array& array, ConvLayout layout, DType dtype) {
  if (array.dtype() == dtype) return in_layout(array, layout);
  const Array result = new_array(array.shape(), dtype, array.device(), layout);
  count_operations(array.numel());
  array.device().backend().copy(array, result);
  return result;
}

/// x where it has these strides (on axes of size 1 they do not matter), else a copy that has them. REQUIRES: they are
/// dense for x's shape.
inline Array with_strides(const Array& x, const Dims& strides) {
  bool same = true;
  for (int axis = 0; axis < x.rank(); ++axis) same = same && (x.size(axis) == 1 || x.strides()[axis] == strides[axis]);
  if (same) return x;
  const Array moved(StorageRef(new Storage(x.device(), x.bytes())), Layout{x.shape(), strides, 0}, x.dtype());
  count_operations(x.numel());
  x.device().backend().copy(x, moved);
  return moved;
}

}  // namespace mnemo
