// Array: storage + layout + dtype + device. No gradient. Views are free.
#pragma once

#include <vector>

#include <mnemo/core/dtype.h>
#include <mnemo/core/layout.h>
#include <mnemo/core/storage.h>

namespace mnemo {

class Stream;

/// Elements in a storage. Copies share the storage; an Array by `const&` can still be filled (it is a handle).
class Array {
 public:
  Array() = default;  ///< undefined: no storage
  /// New uninitialised elements in row-major order; throws OutOfMemory, or ShapeError when the bytes overflow.
  Array(const Shape& shape, DType dtype, const Device& device = {});
  /// A view of existing storage.
  Array(StorageRef storage, Layout layout, DType dtype)
      : storage_(std::move(storage)), layout_(std::move(layout)), dtype_(dtype) {}

  /// Uninitialised, with the strides of `other` where they are dense, else row-major.
  static Array like(const Array& other);
  static Array like(const Array& other, DType dtype);
  /// Row-major, with these values. REQUIRES: values.size() == shape.numel().
  template <class T>
  static Array from(const std::vector<T>& values, const Shape& shape, const Device& device = {});

  bool defined() const { return static_cast<bool>(storage_); }
  const Shape& shape() const { return layout_.shape; }
  const Layout& layout() const { return layout_; }
  const Dims& strides() const { return layout_.strides; }
  int rank() const { return layout_.shape.rank(); }
  std::int64_t size(int axis) const { return layout_.shape[axis]; }
  std::int64_t numel() const { return layout_.shape.numel(); }
  DType dtype() const { return dtype_; }
  const Device& device() const { return storage_->device(); }
  memory::Bytes bytes() const { return numel() * size_of(dtype_); }
  const StorageRef& storage() const { return storage_; }
  bool is_contiguous() const { return layout_.is_contiguous(); }
  bool is_channels_last() const { return layout_.is_channels_last(); }

  /// The first element. REQUIRES: T is the element type, and the device is not virtual.
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(storage_->data()) + layout_.offset;
  }

  /// Views; see Layout for what they mean and throw.
  Array permute(const Dims& order) const { return {storage_, layout_.permute(order), dtype_}; }
  Array transpose(int a, int b) const;
  Array slice(int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1) const {
    return {storage_, layout_.slice(axis, begin, end, step), dtype_};
  }
  Array expand(const Shape& shape) const { return {storage_, layout_.expand(shape), dtype_}; }
  Array squeeze(int axis) const { return {storage_, layout_.squeeze(axis), dtype_}; }
  Array unsqueeze(int axis) const { return {storage_, layout_.unsqueeze(axis), dtype_}; }
  /// A view where strides allow it, else a copy. One size may be -1. Throws ShapeError when the counts differ.
  Array reshape(const Dims& shape) const;

  /// Row-major: itself, or a copy.
  Array contiguous() const;
  /// (N, C, sizes...) with the channels innermost in memory: itself, or a copy.
  Array channels_last() const;
  /// Itself, or a copy with the other dtype or on the other device.
  Array to(DType dtype) const;
  Array to(const Device& device) const;

  /// Says that `stream` uses the elements too, which another one made: see StreamScope. Throws DeviceError if it is of
  /// another device.
  void record_stream(const Stream& stream) const;

  /// All elements in row-major order, cast to T; NaN (or 0) from a virtual device.
  template <class T>
  std::vector<T> values() const;
  /// The only element; throws ShapeError when there is not exactly one.
  double item() const;

 private:
  StorageRef storage_;
  Layout layout_;
  DType dtype_ = DType::float32;
};

}  // namespace mnemo
