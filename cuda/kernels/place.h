// Places in (planes, sizes...), as kernels of windows count them. Private.
#pragma once

#include <type_traits>

#include <mnemo/core/host_device.h>

namespace mnemo::cuda {

/// a / b for a >= 0, b > 0.
template <class I>
__device__ I quotient(I a, I b) {
  return static_cast<I>(static_cast<std::make_unsigned_t<I>>(a) / static_cast<std::make_unsigned_t<I>>(b));
}

/// A place in (planes, sizes...).
template <class I>
struct Place {
  I plane, at[3];

  __device__ Place(I i, const I (&sizes)[3]) {
    for (int d = 2; d >= 0; --d) {
      const I rest = quotient(i, sizes[d]);
      at[d] = i - rest * sizes[d];
      i = rest;
    }
    plane = i;
  }
};

}  // namespace mnemo::cuda
