// What the two directions of pooling share: windows, and which of the places in one a row-major number means. Private.
#pragma once

#include <limits>

#include <mnemo/core/backend.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>
#include <mnemo/cuda/kernels/place.h>

namespace mnemo::cuda {

/// A PoolProblem as kernels take it. I: the type in which they count, int32 where every place fits into it: division is
/// several times as fast then.
template <class I>
struct PoolShape {
  std::int64_t planes;
  I in[3], kernel[3], out[3], stride[3], padding[3], dilation[3];
  bool count_include_pad;

  explicit PoolShape(const PoolProblem& p) : planes(p.planes), count_include_pad(p.count_include_pad) {
    for (std::size_t d = 0; d < 3; ++d) {
      in[d] = static_cast<I>(p.in[d]), kernel[d] = static_cast<I>(p.kernel[d]), out[d] = static_cast<I>(p.out[d]);
      stride[d] = static_cast<I>(p.stride[d]), padding[d] = static_cast<I>(p.padding[d]);
      dilation[d] = static_cast<I>(p.dilation[d]);
    }
  }
};

/// Calls f(PoolShape) with int32 if no number of the problem is beyond it; places count `groups` times.
template <class F>
void with_shape(const PoolProblem& p, const F& f, std::int64_t groups = 1) {
  constexpr std::int64_t kMost = std::int64_t{1} << 29;
  std::int64_t inputs = p.planes * groups, outputs = inputs;
  bool narrow = true;
  for (std::size_t d = 0; d < 3; ++d) {
    inputs *= p.in[d], outputs *= p.out[d];
    // With room for sums of a place, a padding and a window's reach.
    narrow = narrow && p.stride[d] <= kMost && p.in[d] + p.padding[d] <= kMost &&
             p.kernel[d] * p.dilation[d] <= kMost && p.out[d] * p.stride[d] <= kMost;
  }
  if (narrow && inputs <= kMost && outputs <= kMost)
    f(PoolShape<std::int32_t>(p));
  else
    f(PoolShape<std::int64_t>(p));
}

/// What one output sees along one axis: its first element, and the taps [from, until) that lie inside the input.
template <class I>
struct Window {
  I start, from, until;
  I divisor;  ///< taps that an average counts

  __device__ Window(const PoolShape<I>& p, int d, I place) : start(place * p.stride[d] - p.padding[d]) {
    from = taps_below(p, d, 0);
    until = taps_below(p, d, p.in[d]);
    if (until < from) until = from;
    divisor = p.count_include_pad ? taps_below(p, d, p.in[d] + p.padding[d]) : until - from;
  }

 private:
  /// Taps t with start + t * dilation < bound.
  __device__ I taps_below(const PoolShape<I>& p, int d, I bound) const {
    if (bound <= start) return 0;
    const I room = bound - start - 1;
    const I taps = (p.dilation[d] == 1 ? room : quotient(room, p.dilation[d])) + 1;
    return taps < p.kernel[d] ? taps : p.kernel[d];
  }
};

/// The outputs [from, until) along an axis whose windows reach to element i.
template <class I>
struct Reach {
  I from, until;

  __device__ Reach(const PoolShape<I>& p, int d, I i) {
    const I first = i + p.padding[d] - (p.kernel[d] - 1) * p.dilation[d];
    from = first <= 0 ? 0 : quotient(first + p.stride[d] - 1, p.stride[d]);
    until = quotient(i + p.padding[d], p.stride[d]) + 1;
    if (until > p.out[d]) until = p.out[d];
  }
};

/// The tap with which output `o` has element i, or -1.
template <class I>
__device__ I tap_of(const PoolShape<I>& p, int d, I i, I o) {
  const I distance = i + p.padding[d] - o * p.stride[d];
  if (p.dilation[d] == 1) return distance;
  const I tap = quotient(distance, p.dilation[d]);
  return tap * p.dilation[d] == distance ? tap : -1;
}

/// The largest so far and its place in the window; the first of equals, and the first NaN, win.
template <class T, class I>
struct Largest {
  T value = -std::numeric_limits<T>::infinity();
  I place = -1;

  __device__ void take(T other, I at) {
    if (other > value || place < 0 || (other != other && value == value)) value = other, place = at;
  }
  /// As if its elements had been taken in the order of their places.
  __device__ void join(T other, I at) {
    if (at < 0) return;
    const bool nan = value != value, other_nan = other != other;
    const bool wins = place < 0 || (nan || other_nan ? (nan ? other_nan && at < place : true)
                                                     : other > value || (other == value && at < place));
    if (wins) value = other, place = at;
  }
};

/// The same where places have several elements: problem.inner > 1.
void pool_innermost(const CudaBackend& backend, const PoolProblem& problem, const Array& x, const Array& y,
                    const Array& offsets);
void pool_innermost_gradient(const CudaBackend& backend, const PoolProblem& problem, const Array& grad,
                             const Array& offsets, const Array& dx);

}  // namespace mnemo::cuda
