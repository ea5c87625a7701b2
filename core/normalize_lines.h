// What normalization makes of one element, forward and backward. Shared by the CPU and CUDA, so that a gradient
// finds again, bit for bit, what the forward pass had before it.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <mnemo/core/dtype.h>
#include <mnemo/core/elementary.h>
#include <mnemo/core/host_device.h>

namespace mnemo {

/// The normalized value, in the type that elements are computed in.
template <class T>
struct NormalizeLine {
  T mean, scale, shift;

  MNEMO_HOST_DEVICE T operator()(T x) const { return elementary::multiply_add(x - mean, scale, shift); }
};

/// The largest value that is 0 when it is rounded to an element.
template <class E>
inline constexpr compute_type<E> kRoundsToZero = 0;
template <>
inline constexpr float kRoundsToZero<float16> = 0x1p-25F;
template <>
inline constexpr float kRoundsToZero<bfloat16> = 0x1p-134F;

/// What is left of a value in an element.
template <class E>
MNEMO_HOST_DEVICE compute_type<E> rounded(compute_type<E> value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<E, bfloat16>) {  // with 0 below it: what comes is the float already
    std::uint32_t bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(value), "f"(0.0F));
    return std::bit_cast<float>(bits);
  }
#endif
  return cast<compute_type<E>>(cast<E>(value));
}

/// The result: a normalized value, and what is added to it; 0 where relu has it so. Rounded after each, as operations
/// of their own would do: what rounds to -0 stays that.
template <class E>
struct NormalizeResult {
  using T = compute_type<E>;
  T low;

  MNEMO_HOST_DEVICE explicit NormalizeResult(bool relu)
      : low(relu ? -kRoundsToZero<E> : -std::numeric_limits<T>::infinity()) {}
  MNEMO_HOST_DEVICE E operator()(T value) const { return cast<E>(value < low ? T{0} : value); }
  MNEMO_HOST_DEVICE E operator()(T value, T residual) const {
    return (*this)(static_cast<T>(rounded<E>(value) + residual));
  }
};

/// What normalizing a row makes of an element whose channel has a weight and a bias.
template <class T>
struct RowNormLine {
  T mean, inverse_deviation;

  MNEMO_HOST_DEVICE T operator()(T x, T weight, T bias) const {
    return elementary::multiply_add((x - mean) * inverse_deviation, weight, bias);
  }
};

/// dx = scale * (g - mean of g - distance of x from its mean * slope).
template <class T>
struct NormalizeGradientLine {
  T scale, gradient, center, slope;

  MNEMO_HOST_DEVICE T operator()(T g, T x) const { return scale * (g - gradient - (x - center) * slope); }
};

}  // namespace mnemo
