// The checks that several families share.
#pragma once

#include <fmt/format.h>

#include <mnemo/core/array.h>
#include <mnemo/core/conv.h>
#include <mnemo/core/error.h>

namespace mnemo {

inline void check_defined(const char* op, const Array& x) {
  if (!x.defined()) fail<Error>(op, "an operand is undefined: it was default-constructed or moved from");
}

inline void check_same_device(const char* op, const Array& a, const Array& b) {
  check_defined(op, a);
  check_defined(op, b);
  if (!(a.device() == b.device())) {
    fail<DeviceError>(op,
                      fmt::format("operands {} and {} lie on different devices, {} and {}; move one with to(x, device)",
                                  a.shape().text(), b.shape().text(), a.device().name(), b.device().name()));
  }
}

inline void check_floating(const char* op, const Array& x) {
  check_defined(op, x);
  if (!is_floating(x.dtype())) {
    fail<DTypeError>(
        op, fmt::format("operand {} has dtype {}; a floating-point one is needed, cast it with to(x, DType::float32)",
                        x.shape().text(), name(x.dtype())));
  }
}

inline void check_dtype(const char* op, const char* what, const Array& x, DType expected) {
  if (x.dtype() != expected) {
    const char* enumerator = expected == DType::boolean ? "boolean" : name(expected);
    fail<DTypeError>(op, fmt::format("{} {} has dtype {}, expected {}; cast it with to(x, DType::{})", what,
                                     x.shape().text(), name(x.dtype()), name(expected), enumerator));
  }
}

/// `weight`: one number for each class of x.
inline void check_class_weight(const char* op, const Array& weight, const Array& x, std::int64_t classes) {
  check_floating(op, weight);
  check_same_device(op, x, weight);
  if (!(weight.shape() == Shape{classes})) {
    fail<ShapeError>(op, fmt::format("weight {} must be ({}): one number for each class of {}", weight.shape().text(),
                                     classes, x.shape().text()));
  }
}

/// in + padding; throws ShapeError when that overflows (it can, where another size is 0).
inline std::int64_t padded_size(const char* op, const Array& x, std::int64_t in, std::int64_t padding) {
  std::int64_t size = 0;
  if (__builtin_add_overflow(in, padding, &size)) {
    fail<ShapeError>(
        op, fmt::format("size {} of input {} with padding {} overflows 64 bits", in, x.shape().text(), padding));
  }
  return size;
}

/// Sizes that a caller gives per spatial dimension: as many as there are, or one for all.
inline void check_count(const char* op, const char* what, const Extent& extent, int rank) {
  if (extent.count() == 0 || extent.count() == rank) return;
  fail<ShapeError>(op, fmt::format("{} numbers given for {}, expected 1{}", extent.count(), what,
                                   rank == 1 ? "" : fmt::format(" or {}", rank)));
}

/// The same, and each is at least `least`. The upper bound keeps every product of two of them exact in 64 bits.
inline void check_extent(const char* op, const char* what, const Extent& extent, int rank, std::int64_t least) {
  check_count(op, what, extent, rank);
  for (int axis = 0; axis < rank; ++axis) {
    if (extent[axis] < least || extent[axis] > INT32_MAX) {
      fail<ShapeError>(op, fmt::format("{} is {}, allowed are {} to {}", what, extent[axis], least, INT32_MAX));
    }
  }
}

}  // namespace mnemo
