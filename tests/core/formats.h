// Floating-point formats by arithmetic: what a number rounds to and what bits stand for, without the code under test.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include <mnemo/core/dtype.h>

namespace formats {

struct Format {
  int precision;  ///< significant bits, the hidden one included
  int lowest;     ///< exponent of the smallest normal number
  int highest;    ///< exponent of the largest number
};

inline constexpr Format kFloat64{53, -1022, 1023}, kFloat32{24, -126, 127}, kFloat16{11, -14, 15},
    kBfloat16{8, -126, 127};

inline Format format_of(mnemo::DType dtype) {
  switch (dtype) {
    case mnemo::DType::float64:
      return kFloat64;
    case mnemo::DType::float16:
      return kFloat16;
    case mnemo::DType::bfloat16:
      return kBfloat16;
    default:
      return kFloat32;
  }
}

/// The nearest number of the format, ties to even.
inline double nearest(double value, Format format) {
  if (std::isnan(value) || std::isinf(value) || value == 0) return value;
  const int exponent = std::max(std::ilogb(value), format.lowest) - (format.precision - 1);  // of the last place
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
  const bool overflow = std::abs(rounded) > std::ldexp(2 - std::ldexp(1.0, 1 - format.precision), format.highest);
  return overflow ? std::copysign(std::numeric_limits<double>::infinity(), value) : rounded;
}

/// The same for an integer that a double need not hold.
inline double nearest(std::int64_t value, Format format) {
  auto magnitude = static_cast<std::uint64_t>(value);
  if (value < 0) magnitude = 0 - magnitude;
  int dropped = 0;
  while ((magnitude >> dropped) >> format.precision != 0) ++dropped;
  std::uint64_t kept = magnitude >> dropped;
  const std::uint64_t rest = magnitude - (kept << dropped), half = dropped > 0 ? std::uint64_t{1} << (dropped - 1) : 0;
  if (dropped > 0 && (rest > half || (rest == half && kept % 2 == 1))) ++kept;
  const double rounded = std::ldexp(static_cast<double>(kept), dropped);
  return nearest(value < 0 ? -rounded : rounded, format);  // it may still be too large
}

/// What 16 bits stand for.
inline double decode(std::uint16_t bits, Format format) {
  const int fraction_bits = format.precision - 1;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const int exponent = (bits & 0x7fff) >> fraction_bits;
  double value = 0;
  if (exponent == 2 * format.highest + 1) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, format.lowest - fraction_bits);
  } else {
    value = std::ldexp(fraction + (1 << fraction_bits), exponent - format.highest - fraction_bits);
  }
  return std::copysign(value, (bits & 0x8000) != 0 ? -1.0 : 1.0);
}

/// The element as a double; exact but for large int64.
template <class T>
double plain(T element) {
  if constexpr (std::is_same_v<T, mnemo::float16>)
    return decode(element.bits, kFloat16);
  else if constexpr (std::is_same_v<T, mnemo::bfloat16>)
    return decode(element.bits, kBfloat16);
  else
    return static_cast<double>(element);
}

/// Equal, with equal signs of zero; NaN equals NaN.
inline bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace formats
