// The switch over the sizes of elements, for what moves them as they are.
#pragma once

#include <cstdint>

#include <mnemo/core/dtype.h>

namespace mnemo {

/// f(zero of the unsigned integer that is as large as an element of `dtype`)
template <class F>
void visit_bytes(DType dtype, const F& f) {
  switch (size_of(dtype)) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

}  // namespace mnemo
