// How batch normalization divides (batch, channels, inner) among blocks, and the numbers that it has for each channel.
// Private: device code.
#pragma once

#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

/// One number per channel, of whatever floating dtype; or none.
struct ChannelNumbers {
  void* data = nullptr;
  DType dtype = DType::float32;

  ChannelNumbers() = default;
  explicit ChannelNumbers(const Array& array) {
    if (!array.defined()) return;
    dtype = array.dtype();
    data = array.storage()->data() + array.layout().offset * size_of(dtype);
  }
  __device__ double get(std::int64_t channel, double otherwise) const {
    if (data == nullptr) return otherwise;
    if (dtype == DType::float32) return static_cast<double>(static_cast<const float*>(data)[channel]);
    if (dtype == DType::float64) return static_cast<const double*>(data)[channel];
    if (dtype == DType::float16) return cast<double>(static_cast<const float16*>(data)[channel]);
    return cast<double>(static_cast<const bfloat16*>(data)[channel]);
  }
  __device__ void set(std::int64_t channel, double value) const {
    if (data == nullptr) return;
    if (dtype == DType::float32) {
      static_cast<float*>(data)[channel] = static_cast<float>(value);
    } else if (dtype == DType::float64) {
      static_cast<double*>(data)[channel] = value;
    } else if (dtype == DType::float16) {
      static_cast<float16*>(data)[channel] = cast<float16>(value);
    } else {
      static_cast<bfloat16*>(data)[channel] = cast<bfloat16>(value);
    }
  }
};

/// Two sums of a channel, or the two numbers that follow from them.
struct Pair {
  double first, second;
};

/// How the work is divided. A unit of blocks has one channel (planes), or `width` packs of channels that are neighbours
/// (points: inner is 1); its elements are dealt out to `splits` blocks.
struct Division {
  std::int64_t batch = 0, channels = 0, inner = 0;
  bool sums = false, elements = false;  ///< which halves this launch does; both only where splits is 1
  int splits = 1;
  int width = 1;  ///< a power of 2, at most kWarp
  std::int64_t units = 1;
  Pair* numbers = nullptr;       ///< of each channel: how one launch hands them to the next
  double* partials = nullptr;    ///< of each split its sums: (splits, channels, 2)
  unsigned* counters = nullptr;  ///< one per unit
};

inline constexpr int kChannelTile = 128;    ///< channels of a unit of points, at most
inline constexpr int kUnderWay = 4;  ///< packs that a thread is loading, those of all inputs together
/// Blocks on a multiprocessor at once, at least: as many as there are registers for.
template <int V>
inline constexpr int kNormalizeBlocks = V > 4 ? 2 : 3;
inline constexpr std::int64_t kMostNumbers = 65536;
inline constexpr std::int64_t kMostPartials = (std::int64_t{Scratch::kBytes} / sizeof(Pair)) - kMostNumbers;

/// This block's number. The launch that follows the sums begins with what they read last, while it may still be in the
/// cache.
__device__ inline unsigned block_of(const Division& d) {
  return d.sums || d.numbers == nullptr ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
}

/// Elements `j` of the packs of all inputs, as they are computed in.
template <class Op, int V>
__device__ void take(const Pack<typename Op::Element, V> (&packs)[Op::kInputs], int j,
                     typename Op::Real (&values)[Op::kInputs]) {
#pragma unroll
  for (int k = 0; k < Op::kInputs; ++k) values[k] = cast<typename Op::Real>(packs[k].values[j]);
}

}  // namespace mnemo::cuda
