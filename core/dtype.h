// Element types: the list, their sizes and names, and the one switch from a DType to a C++ type.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include <mnemo/core/half.h>

namespace mnemo {

enum class DType : std::uint8_t { float64, float32, float16, bfloat16, int64, int32, uint8, boolean };

inline constexpr DType kDTypes[] = {DType::float64, DType::float32, DType::float16, DType::bfloat16,
                                    DType::int64,   DType::int32,   DType::uint8,   DType::boolean};

/// "float32" and so on; boolean is "bool".
const char* name(DType dtype);
/// The dtype of that name; throws DTypeError listing the names.
DType parse_dtype(std::string_view text);

/// Calls `f` with a value of the element type of `dtype`: `visit(dtype, [](auto zero) { using T = decltype(zero); ...
/// })`.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float64:
      return f(double{});
    case DType::float32:
      return f(float{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::boolean:
      break;
  }
  return f(bool{});
}

constexpr int size_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::int64:
      return 8;
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::uint8:
    case DType::boolean:
      break;
  }
  return 1;
}

constexpr bool is_floating(DType dtype) { return dtype <= DType::bfloat16; }
constexpr bool is_half(DType dtype) { return dtype == DType::float16 || dtype == DType::bfloat16; }

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>)
    return DType::float64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::float32;
  else if constexpr (std::is_same_v<T, float16>)
    return DType::float16;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bfloat16;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::int64;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::int32;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::uint8;
  else {
    static_assert(std::is_same_v<T, bool>, "not an element type");
    return DType::boolean;
  }
}

/// The type in which arithmetic on T happens: float for the half types, T otherwise.
template <class T>
using compute_type = std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;
/// The same of a floating dtype: also that of statistics and losses of such elements.
constexpr DType compute_dtype(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// The dtype that both operands are cast to: the wider category (bool < integer < floating), then the wider type;
/// float16 with bfloat16 gives float32.
DType promote(DType a, DType b);

/// Casts one element. Floating to integer truncates towards zero; anything to bool is `!= 0`; NaN to an integer is 0.
template <class To, class From>
MNEMO_HOST_DEVICE inline To cast(From value) {
  constexpr bool from_half = std::is_same_v<From, float16> || std::is_same_v<From, bfloat16>;
  constexpr bool to_half = std::is_same_v<To, float16> || std::is_same_v<To, bfloat16>;
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (from_half) {
    return cast<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (to_half && std::is_same_v<From, double>) {
    // Rounding twice (double to float to half) can miss nearest even; rounding to odd in between cannot.
    float narrow = static_cast<float>(value);
    const double back = static_cast<double>(narrow);
    if (back != value && back - back == 0.0) {
      auto bits = std::bit_cast<std::uint32_t>(narrow);
      const bool too_far = (back > value) == (value > 0);
      if ((bits & 1u) == 0 || too_far) {
        if (too_far) --bits;
        bits |= 1u;
      }
      narrow = std::bit_cast<float>(bits);
    }
    return To(narrow);
  } else if constexpr (to_half && std::is_same_v<From, std::int64_t>) {
    // The same: a double holds all digits but the last ten, which become one that says whether they are all 0.
    const std::int64_t digits = value >> 10, odd = (value & 1023) != 0 ? 1 : 0;
    const bool small = value >= -(std::int64_t{1} << 53) && value <= std::int64_t{1} << 53;
    return cast<To>(small ? static_cast<double>(value) : static_cast<double>(digits | odd) * 1024.0);
  } else if constexpr (to_half && std::is_same_v<From, float>) {
    return To(value);
  } else if constexpr (to_half) {
    return cast<To>(static_cast<double>(value));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From low = static_cast<From>(-9223372036854775808.0);
    constexpr From high = static_cast<From>(9223372036854775808.0);
    if (!(value >= low && value < high)) return To{0};  // also NaN: no undefined conversion
    return static_cast<To>(static_cast<std::int64_t>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace mnemo
