// exp, tanh and erf. Those of floats on the CPU are without branches, so that loops over them are vectorized: the same
// bits in a vector as out of one. The rest are the compiler's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <mnemo/core/host_device.h>

namespace mnemo::elementary {

/// a * b + c, rounded once where the machine can: left to itself a compiler may fuse it here and not there.
template <class T>
MNEMO_HOST_DEVICE T multiply_add(T a, T b, T c) {
#if defined(__CUDA_ARCH__) || defined(__FMA__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

namespace host {

/// c0 + c1 * x + c2 * x^2 + ...
inline float polynomial(float, float c0) { return c0; }
template <class... Rest>
inline float polynomial(float x, float c0, Rest... rest) {
  return multiply_add(polynomial(x, rest...), x, c0);
}

/// 2^n for -126 <= n <= 127
inline float power_of_two(std::int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

// The coefficients are minimax (Remez) for the relative error of the result, rounded to float one after the other.
// Errors are in units in the last place of the true value, the largest over all floats, with fused multiply_add.

/// e^x = 2^n * e^r with |r| <= log(2) / 2. Error: 1.03.
inline float exp(float x) {
  constexpr float kLow = -104, kHigh = 89;  // beyond them it is 0 and infinite
  constexpr float kWhole = 0x1.8p23F;       // what is added to it is rounded to a whole number
  constexpr float kLog2OfE = 1.44269504F;
  constexpr float kMost = 0.693359375F;  // of log(2), in 9 bits: its product with n is exact
  constexpr float kRest = -2.12194440e-4F;
  x = x < kLow ? kLow : x;  // a NaN passes
  x = x > kHigh ? kHigh : x;
  const float shifted = multiply_add(x, kLog2OfE, kWhole);
  const float n = shifted - kWhole;
  const float r = multiply_add(n, -kRest, multiply_add(n, -kMost, x));
  const float bend = polynomial(r, 0x1.fffffcp-2F, 0x1.55548cp-3F, 0x1.55585ap-5F, 0x1.123d70p-7F, 0x1.6ab89ep-10F);
  const float power = multiply_add(bend * r, r, r) + 1;
  const std::int32_t exponent = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kWhole);
  const std::int32_t half = exponent >> 1;  // in two steps: 2^n itself may be no float
  return power * power_of_two(half) * power_of_two(exponent - half);
}

/// x + x^3 * p(x^2) near 0, else 1 - 2 / (e^2x + 1). Error: 1.34.
inline float tanh(float x) {
  const float size = std::fabs(x), square = x * x;
  const float bend =
      polynomial(square, -0x1.555532p-2F, 0x1.1106f6p-3F, -0x1.b835a4p-5F, 0x1.51f8cep-6F, -0x1.750ce4p-8F);
  const float near = multiply_add(bend * square, size, size);
  const float far = 1 - 2 / (exp(2 * size) + 1);
  return std::copysign(size < 0.625F ? near : far, x);
}

/// x + x * p(x^2) up to 1, else 1 - e^q(x): q is the logarithm of 1 - erf. Error: 1.10, of the unfused 1.37.
inline float erf(float x) {
  const float size = std::fabs(x);
  const float slope = polynomial(x * x, 0x1.06eba8p-3F, -0x1.81273ep-2F, 0x1.ce2ce6p-4F, -0x1.b7f71ap-6F,
                                 0x1.53f224p-8F, -0x1.a3515ep-11F, 0x1.4771fep-14F);
  const float near = multiply_add(slope, size, size);
  const float bounded = size > 4 ? 4 : size;  // erf(4) is 1 in float
  const float logarithm = polynomial(bounded, -0x1.661d7cp-12F, -0x1.2088eap+0F, -0x1.46baf0p-1F, -0x1.a65318p-4F,
                                     0x1.65cb0ep-6F, -0x1.8259fcp-9F, 0x1.86dbb0p-13F);
  const float far = 1 - exp(logarithm);
  return std::copysign(size < 1 ? near : far, x);
}

}  // namespace host

#ifdef __CUDA_ARCH__
#define MNEMO_ELEMENTARY(function, x) return std::function(x)
#else
#define MNEMO_ELEMENTARY(function, x)               \
  if constexpr (std::is_same_v<decltype(x), float>) \
    return host::function(x);                       \
  else                                              \
    return std::function(x)
#endif

template <class T>
MNEMO_HOST_DEVICE T exp(T x) {
  MNEMO_ELEMENTARY(exp, x);
}
template <class T>
MNEMO_HOST_DEVICE T tanh(T x) {
  MNEMO_ELEMENTARY(tanh, x);
}
template <class T>
MNEMO_HOST_DEVICE T erf(T x) {
  MNEMO_ELEMENTARY(erf, x);
}

#undef MNEMO_ELEMENTARY

}  // namespace mnemo::elementary
