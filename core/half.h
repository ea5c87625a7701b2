// The 16-bit floating-point types: storage only, arithmetic happens in float. Conversions round to nearest even.
#pragma once

#include <bit>
#include <cstdint>

#include <mnemo/core/host_device.h>

namespace mnemo {

/// IEEE 754 binary16: 5 exponent bits, 10 fraction bits.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  MNEMO_HOST_DEVICE explicit float16(float value) : bits(from_float(value)) {}
  MNEMO_HOST_DEVICE explicit operator float() const { return to_float(bits); }

  MNEMO_HOST_DEVICE static std::uint16_t from_float(float value) {
#ifdef __CUDA_ARCH__  // one instruction; only the bits of a NaN differ
    std::uint16_t result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
    return result;
#else
    const auto f = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>((f >> 16) & 0x8000u);
    const std::uint32_t magnitude = f & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) {  // infinity, or a NaN that stays one (quiet, payload's top bits kept)
      const std::uint32_t nan = magnitude > 0x7f800000u ? 0x200u | ((magnitude >> 13) & 0x3ffu) : 0u;
      return static_cast<std::uint16_t>(sign | 0x7c00u | nan);
    }
    if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds past 65504
    if (magnitude < 0x33000001u) return sign;                                         // rounds to zero (2^-25 is a tie)
    const int exponent = static_cast<int>(magnitude >> 23) - 127;
    const std::uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    // A result below 2^-14 is subnormal: it keeps fewer of the 24 significant bits.
    const int dropped = exponent < -14 ? 13 + (-14 - exponent) : 13;
    const std::uint32_t kept = fraction >> dropped;
    const std::uint32_t rest = fraction & ((1u << dropped) - 1u);
    const std::uint32_t half = 1u << (dropped - 1);
    const std::uint32_t rounded = kept + (rest > half || (rest == half && (kept & 1u)) ? 1u : 0u);
    // `kept` holds the implicit bit (0x400) when normal; adding it to the exponent field carries correctly.
    const std::uint32_t result = exponent < -14 ? rounded : (static_cast<std::uint32_t>(exponent + 14) << 10) + rounded;
    return static_cast<std::uint16_t>(sign | result);
#endif
  }

  MNEMO_HOST_DEVICE static float to_float(std::uint16_t bits) {
#ifdef __CUDA_ARCH__
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(bits));
    return result;
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero and subnormals, exact
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
#endif
  }
};

/// The upper half of a float: 8 exponent bits, 7 fraction bits.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  MNEMO_HOST_DEVICE explicit bfloat16(float value) : bits(from_float(value)) {}
  MNEMO_HOST_DEVICE explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

  MNEMO_HOST_DEVICE static std::uint16_t from_float(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    std::uint16_t result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value));
    return result;
#else
    const auto f = std::bit_cast<std::uint32_t>(value);
    if ((f & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((f >> 16) | 0x40u);  // NaN stays one
    return static_cast<std::uint16_t>((f + 0x7fffu + ((f >> 16) & 1u)) >> 16);
#endif
  }
};

}  // namespace mnemo
