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

inline constexpr int kChannelTile = 128;  ///< channels of a unit of points, at most
/// Below this many packs for each thread there is no use in more blocks.
inline constexpr int kLeastPacks = 4;
inline constexpr std::int64_t kMostNumbers = 65536;
inline constexpr std::int64_t kMostPartials = (std::int64_t{Scratch::kBytes} / sizeof(Pair)) - kMostNumbers;

/// This block's number. The launch that follows the sums begins with what they read last, while it may still be in the
/// cache.
__device__ inline unsigned block_of(const Division& d) {
  return d.sums || d.numbers == nullptr ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
}

/// Elements `j` of the packs of all inputs, as they are computed in.
template <class T, class E, int V, int K>
__device__ void take(const Pack<E, V> (&packs)[K], int j, T (&values)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) values[k] = cast<T>(packs[k].values[j]);
}

/// What a few terms are summed in before they go to a double: conversions to double are slow, and a few products of
/// half numbers lose next to nothing in a float.
template <class E>
using Partial = std::conditional_t<sizeof(E) == 2, float, double>;

/// The terms of element `j` of a pack go to `first` and `second`, and what counts of it to `kept`.
template <class Op, int V, class P>
__device__ void add_terms(const typename Op::Context& context, const Pack<typename Op::Element, V> (&packs)[Op::kSums],
                          int j, P& first, P& second, Pack<typename Op::Element, V>& kept) {
  typename Op::Real values[Op::kSums];
  take(packs, j, values);
  Op::add(first, second, context, values);
  if constexpr (Op::kKeeps) kept.values[j] = cast<typename Op::Element>(values[0]);
}

}  // namespace mnemo::cuda
