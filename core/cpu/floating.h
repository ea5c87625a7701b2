// The switch over the four floating-point dtypes, for families that know no others.
#pragma once

#include <cassert>

#include <mnemo/core/dtype.h>

namespace mnemo::cpu {

/// Like `visit`, for half as many types. REQUIRES: is_floating(dtype).
template <class F>
void visit_floating(DType dtype, F&& f) {
  assert(is_floating(dtype));
  switch (dtype) {
    case DType::float64:
      return f(double{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    default:
      return f(float{});
  }
}

/// Elements of any floating dtype, read and written as doubles: for the few per channel.
class FloatingElements {
 public:
  FloatingElements(void* data, DType dtype) : data_(data), dtype_(dtype) {}

  double operator[](std::int64_t i) const {
    double value = 0;
    visit_floating(dtype_, [&](auto zero) { value = cast<double>(static_cast<const decltype(zero)*>(data_)[i]); });
    return value;
  }
  void set(std::int64_t i, double value) const {
    visit_floating(dtype_, [&](auto zero) { static_cast<decltype(zero)*>(data_)[i] = cast<decltype(zero)>(value); });
  }

 private:
  void* data_;
  DType dtype_;
};

}  // namespace mnemo::cpu
