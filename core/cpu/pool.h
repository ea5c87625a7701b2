// What the two directions of pooling share: windows, the outputs that a tap reaches, and the planes over threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include <mnemo/core/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

/// What one output place sees along one axis: its first element, and the taps [from, until) that lie inside the input.
struct Window {
  std::int64_t start = 0, from = 0, until = 0;
  std::int64_t divisor = 0;  ///< taps that an average counts
};

inline Window window(const PoolProblem& p, std::size_t d, std::int64_t place) {
  const std::int64_t dilation = p.dilation[d];
  Window result;
  result.start = place * p.stride[d] - p.padding[d];
  // Taps t with start + t * dilation < bound.
  auto taps_below = [&](std::int64_t bound) {
    if (bound <= result.start) return std::int64_t{0};
    if (dilation == 1) return std::min(p.kernel[d], bound - result.start);  // no division in the usual case
    return std::min(p.kernel[d], (bound - result.start - 1) / dilation + 1);
  };
  result.from = taps_below(0);
  result.until = std::max(result.from, taps_below(p.in[d]));
  result.divisor = p.count_include_pad ? taps_below(p.in[d] + p.padding[d]) : result.until - result.from;
  return result;
}

/// The outputs [begin, end) of a line whose tap lies inside the input, and the element that output 0 has there.
struct Reach {
  std::int64_t begin = 0, end = 0, first = 0;
};

inline Reach reach(const PoolProblem& p, std::size_t d, std::int64_t tap) {
  Reach result;
  result.first = tap * p.dilation[d] - p.padding[d];
  if (result.first < 0) result.begin = (-result.first + p.stride[d] - 1) / p.stride[d];
  const std::int64_t last = p.in[d] - 1 - result.first;
  result.end = last < 0 ? 0 : std::min(p.out[d], last / p.stride[d] + 1);
  result.begin = std::min(result.begin, result.end);
  return result;
}

/// Takes element x[j * stride] into output j where it is larger; the first element wins at first, so that a window of
/// minus infinities has an offset inside the input, and NaN wins.
template <class T, class E>
void take_larger(const E* x, std::int64_t stride, std::int64_t count, std::int32_t tap, T* values,
                 std::int32_t* places) {
  const auto take = [&](std::int64_t j, T value) {
    const bool larger = (value > values[j]) | (places[j] < 0) | ((value != value) & (values[j] == values[j]));
    values[j] = larger ? value : values[j];
    places[j] = larger ? tap : places[j];
  };
  // A stride that the compiler knows makes vector loads.
  if (stride == 1) {
    for (std::int64_t j = 0; j < count; ++j) take(j, cast<T>(x[j]));
  } else if (stride == 2) {
    for (std::int64_t j = 0; j < count; ++j) take(j, cast<T>(x[2 * j]));
  } else {
    for (std::int64_t j = 0; j < count; ++j) take(j, cast<T>(x[j * stride]));
  }
}

/// The same where places have several elements: problem.inner > 1.
void pool_innermost(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets);
void pool_innermost_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx);

/// Calls body(zero of the element type, zero of the offset type, plane) on several threads.
template <class Body>
void for_each_plane(const PoolProblem& p, DType dtype, const Body& body) {
  const std::int64_t work = std::max<std::int64_t>(1, p.kernel[0] * p.kernel[1] * p.kernel[2]) *
                            std::max<std::int64_t>(1, p.out[0] * p.out[1] * p.out[2]);
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / work);
  visit_floating(dtype, [&](auto zero) {
    parallel_for(p.planes, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane) {
        if (p.offset_dtype() == DType::uint8) {
          body(zero, std::uint8_t{}, plane);
        } else {
          body(zero, std::int32_t{}, plane);
        }
      }
    });
  });
}

}  // namespace mnemo::cpu
