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
  /// A number as it lies in memory. What several of these read is on the way at once, where a conversion behind each
  /// would wait for it.
  using Bits = std::uint64_t;
  __device__ Bits read(std::int64_t channel) const {
    if (data == nullptr) return 0;
    if (dtype == DType::float32) return static_cast<const std::uint32_t*>(data)[channel];
    if (dtype == DType::float64) return static_cast<const std::uint64_t*>(data)[channel];
    return static_cast<const std::uint16_t*>(data)[channel];
  }
  __device__ double value(Bits bits, double otherwise) const {
    if (data == nullptr) return otherwise;
    if (dtype == DType::float32) return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    if (dtype == DType::float64) return std::bit_cast<double>(bits);
    const auto half = static_cast<std::uint16_t>(bits);
    return dtype == DType::float16 ? cast<double>(std::bit_cast<float16>(half))
                                   : cast<double>(std::bit_cast<bfloat16>(half));
  }
  __device__ double get(std::int64_t channel, double otherwise) const { return value(read(channel), otherwise); }
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
  double* partials = nullptr;    ///< of each split its sums, then of each group of them: (rows, channels, 2)
  unsigned* counters = nullptr;  ///< `groups` of each unit
  int groups = 0;

  /// Whether the elements follow the sums. They begin with what was read last, while it may still be in the cache.
  __device__ bool follows() const { return sums || numbers != nullptr; }
  /// This block's number.
  __device__ unsigned block() const { return !sums && follows() ? gridDim.x - 1 - blockIdx.x : blockIdx.x; }
};

inline constexpr int kChannelTile = 128;  ///< channels of a unit of points, at most
inline constexpr std::int64_t kMostNumbers = 65536;
inline constexpr std::int64_t kMostPartials = (std::int64_t{Scratch::kBytes} / sizeof(Pair)) - kMostNumbers;

/// Splits whose sums the last of them adds up, and groups of which one does: one block that read what hundreds have
/// left would keep all others waiting.
inline constexpr int kJoined = 32;

/// Elements `j` of the packs of all inputs, as they are computed in.
template <class E, int V, int K>
__device__ void take(const Raw<E, V> (&packs)[K], int j, compute_type<E> (&values)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) values[k] = value_of<E, V>(packs[k], j);
}

/// The packs of all inputs at `place`.
template <int V, class E, int K>
__device__ void load_packs(const E* const (&inputs)[K], std::int64_t place, Raw<E, V> (&packs)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) packs[k] = load_raw<V>(inputs[k] + place * V);
}

/// What a few terms are summed in before they go to a double: conversions to double are slow, and a few products of
/// half numbers lose next to nothing in a float.
template <class E>
using Partial = std::conditional_t<sizeof(E) == 2, float, double>;

/// The terms of element `j` of a pack of image `n` go to `first` and `second`, and what counts of it to `kept`.
template <class Op, int V, class P>
__device__ void add_terms(const Op& op, const typename Op::Context& of_channel, std::int64_t n,
                          const Raw<typename Op::Element, V> (&packs)[Op::kSums], int j, P& first, P& second,
                          Pack<typename Op::Element, V>& kept) {
  typename Op::Real values[Op::kSums];
  take<typename Op::Element, V>(packs, j, values);
  if constexpr (Op::kOfImages)
    Op::add(first, second, op.context(of_channel, n), values);
  else
    Op::add(first, second, of_channel, values);
  if constexpr (Op::kKeeps) kept.values[j] = cast<typename Op::Element>(values[0]);
}

}  // namespace mnemo::cuda
