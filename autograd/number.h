// Number: a number beside a tensor, and what its kind makes of the result's dtype.
#pragma once

#include <cstdint>
#include <type_traits>

#include <mnemo/core/array.h>

namespace mnemo {

class Tensor;

/// Of one of three kinds, by its C++ type and never by its value: `true`, `2`, `2.0`. The result of `x + number` has
/// x's dtype, unless the number is of a higher kind than its elements (bool < integer < floating): then int64, or
/// float32. So `counts + 2` has integers and `counts * 0.5` has float32, and a half type stays what it is.
class Number {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> Number(T value)
      : value_(static_cast<double>(value)),
        kind_(std::is_same_v<T, bool>       ? DType::boolean
              : std::is_floating_point_v<T> ? DType::float32
                                            : DType::int64) {
    if constexpr (std::is_integral_v<T>) whole_ = static_cast<std::int64_t>(value);
  }

  double value() const { return value_; }
  /// The dtype of what the number does with elements of dtype `x`.
  DType dtype_with(DType x) const;
  /// The number in that dtype, without dimensions, beside `x`.
  Tensor beside(const Tensor& x) const;

 private:
  double value_;
  std::int64_t whole_ = 0;  ///< of integers, beyond 2^53 too
  DType kind_;
};

}  // namespace mnemo
