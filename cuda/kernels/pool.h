// What the two directions of pooling share: windows, and which of the places in one a row-major number means. Private.
#pragma once

#include <mnemo/core/backend.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

/// A PoolProblem as kernels take it.
struct PoolShape {
  std::int64_t planes;
  std::int64_t in[3], kernel[3], out[3], stride[3], padding[3], dilation[3];
  bool count_include_pad;

  explicit PoolShape(const PoolProblem& p) : planes(p.planes), count_include_pad(p.count_include_pad) {
    for (std::size_t d = 0; d < 3; ++d) {
      in[d] = p.in[d], kernel[d] = p.kernel[d], out[d] = p.out[d];
      stride[d] = p.stride[d], padding[d] = p.padding[d], dilation[d] = p.dilation[d];
    }
  }
  std::int64_t inputs() const { return planes * in[0] * in[1] * in[2]; }
  std::int64_t outputs() const { return planes * out[0] * out[1] * out[2]; }
};

/// a / b for a >= 0, b > 0; 32-bit division is several times as fast.
__device__ inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (a <= INT32_MAX && b <= INT32_MAX) return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
  return a / b;
}

/// A place in (planes, sizes...).
struct Place {
  std::int64_t plane, at[3];

  __device__ Place(std::int64_t i, const std::int64_t (&sizes)[3]) {
    for (int d = 2; d >= 0; --d) {
      const std::int64_t rest = quotient(i, sizes[d]);
      at[d] = i - rest * sizes[d];
      i = rest;
    }
    plane = i;
  }
};

/// What one output sees along one axis: its first element, and the taps [from, until) that lie inside the input.
struct Window {
  std::int64_t start, from, until;
  std::int64_t divisor;  ///< taps that an average counts

  __device__ Window(const PoolShape& p, int d, std::int64_t place) : start(place * p.stride[d] - p.padding[d]) {
    from = taps_below(p, d, 0);
    until = taps_below(p, d, p.in[d]);
    if (until < from) until = from;
    divisor = p.count_include_pad ? taps_below(p, d, p.in[d] + p.padding[d]) : until - from;
  }

 private:
  /// Taps t with start + t * dilation < bound.
  __device__ std::int64_t taps_below(const PoolShape& p, int d, std::int64_t bound) const {
    if (bound <= start) return 0;
    const std::int64_t room = bound - start - 1;
    const std::int64_t taps = (p.dilation[d] == 1 ? room : quotient(room, p.dilation[d])) + 1;
    return taps < p.kernel[d] ? taps : p.kernel[d];
  }
};

}  // namespace mnemo::cuda
