// Elements of whichever floating-point dtype.
#pragma once

#include <cstdint>

#include <mnemo/core/visit_floating.h>

namespace mnemo::cpu {

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
