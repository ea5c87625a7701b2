// The switch over the four floating-point dtypes, for families that know no others, on the host and on a device.
#pragma once

#include <mnemo/core/dtype.h>
#include <mnemo/core/host_device.h>

namespace mnemo {

/// Like `visit`, for half as many types. REQUIRES: is_floating(dtype).
#ifdef __CUDACC__
#pragma nv_exec_check_disable  // what is called decides on which of the two it runs
#endif
template <class F>
MNEMO_HOST_DEVICE void visit_floating(DType dtype, F&& f) {
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

/// f(zero of `dtype`, zero of `other`), where `other` is `dtype` or the one that its elements are computed in.
template <class F>
void visit_floating(DType dtype, DType other, const F& f) {
  visit_floating(dtype, [&](auto zero) {
    if (other == dtype)
      f(zero, zero);
    else
      f(zero, compute_type<decltype(zero)>{});
  });
}

}  // namespace mnemo
