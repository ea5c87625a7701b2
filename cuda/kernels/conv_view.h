// A convolution as kernels see it: where taps and places of its operands lie, in either layout. Private: includes
// CUDA's headers.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include <mnemo/core/backend.h>

namespace mnemo::cuda {

/// i / n for i, n >= 0; 32-bit division is several times as fast.
__device__ inline std::int64_t divide(std::int64_t i, std::int64_t n) {
  if (((i | n) >> 32) == 0) return static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(n);
  return i / n;
}

/// Three numbers, for kernels: std::array's operator[] would check them in some builds.
struct Triple {
  std::int64_t d, h, w;

  Triple() = default;
  explicit Triple(const Size3& size) : d(size[0]), h(size[1]), w(size[2]) {}
  MNEMO_HOST_DEVICE Triple(std::int64_t depth, std::int64_t height, std::int64_t width)
      : d(depth), h(height), w(width) {}
  MNEMO_HOST_DEVICE std::int64_t volume() const { return d * h * w; }
};

/// Strides of (N, C, sizes...) or of a weight (K, C / groups, kernel...), in elements.
struct ConvStrides {
  std::int64_t outer, channel;
  Triple spatial;

  ConvStrides(std::int64_t channels, const Size3& size, ConvLayout layout) {
    const std::int64_t unit = layout == ConvLayout::channels_last ? channels : 1;
    channel = layout == ConvLayout::channels_last ? 1 : size[0] * size[1] * size[2];
    outer = channels * size[0] * size[1] * size[2];
    spatial = Triple(size[1] * size[2] * unit, size[2] * unit, unit);
  }

  MNEMO_HOST_DEVICE std::int64_t at(const Triple& place) const {
    return place.d * spatial.d + place.h * spatial.h + place.w * spatial.w;
  }
};

/// The place of a number among `sizes`, row-major; what is left over goes to `rest`.
__device__ inline Triple place_of(std::int64_t number, const Triple& sizes, std::int64_t& rest) {
  std::int64_t line = divide(number, sizes.w);
  const std::int64_t w = number - line * sizes.w;
  const std::int64_t plane = divide(line, sizes.h);
  const std::int64_t h = line - plane * sizes.h;
  rest = divide(plane, sizes.d);
  return {plane - rest * sizes.d, h, w};
}

}  // namespace mnemo::cuda
