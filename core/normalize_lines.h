// What batch normalization makes of one element, forward and backward. Shared by the CPU and CUDA, so that a gradient
// finds again, bit for bit, what the forward pass had before it.
#pragma once

#include <cmath>
#include <limits>

#include <mnemo/core/dtype.h>
#include <mnemo/core/host_device.h>

namespace mnemo {

/// The normalized value, in the type that elements are computed in.
template <class T>
struct NormalizeLine {
  T mean, scale, shift;

  MNEMO_HOST_DEVICE T operator()(T x) const {
#if defined(__CUDA_ARCH__) || defined(__FMA__)  // left to itself a compiler may fuse it here and not there
    return std::fma(x - mean, scale, shift);
#else
    return (x - mean) * scale + shift;
#endif
  }
};

/// The result: a normalized value, what is added to it, and what is not below `low`. Rounded after each, as operations
/// of their own would do.
template <class E>
struct NormalizeResult {
  using T = compute_type<E>;
  T low;

  MNEMO_HOST_DEVICE explicit NormalizeResult(bool relu) : low(relu ? T{0} : -std::numeric_limits<T>::infinity()) {}
  MNEMO_HOST_DEVICE E operator()(T value) const {
    const E rounded = cast<E>(value);
    return cast<T>(rounded) < low ? cast<E>(low) : rounded;
  }
  MNEMO_HOST_DEVICE E operator()(T value, T residual) const {
    return (*this)(static_cast<T>(cast<T>(cast<E>(value)) + residual));
  }
};

/// The largest value that is 0 when it is rounded to an element.
template <class E>
inline constexpr compute_type<E> kRoundsToZero = 0;
template <>
inline constexpr float kRoundsToZero<float16> = 0x1p-25F;
template <>
inline constexpr float kRoundsToZero<bfloat16> = 0x1p-134F;

/// dx = scale * (g - mean of g - distance of x from its mean * slope).
template <class T>
struct NormalizeGradientLine {
  T scale, gradient, center, slope;

  MNEMO_HOST_DEVICE T operator()(T g, T x) const { return scale * (g - gradient - (x - center) * slope); }
};

}  // namespace mnemo
