// What both directions of batch normalization share: two sums for each channel of (batch, channels, inner), two numbers
// that follow from them, and a pass over the elements that takes these. One kernel does one half or both. Private.
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

inline constexpr int kTile = 128;           ///< channels of a unit of points, at most
inline constexpr int kNormalizeUnroll = 4;  ///< packs that a thread has under way
inline constexpr std::int64_t kMostNumbers = 65536;
inline constexpr std::int64_t kMostPartials = (std::int64_t{Scratch::kBytes} / sizeof(Pair)) - kMostNumbers;

/// The packs of one channel of row-major (batch, channels, inner) that this thread has: body(place, packs of the
/// inputs).
template <class Op, int V, class Body>
__device__ void visit_plane(const Op& op, const Division& d, std::int64_t channel, int split, const Body& body) {
  using P = Pack<typename Op::Element, V>;
  const std::int64_t row = d.inner / V, count = d.batch * row;
  const std::int64_t step = static_cast<std::int64_t>(d.splits) * kThreads;
  const std::int64_t first = static_cast<std::int64_t>(split) * kThreads + threadIdx.x;
  if (first >= count) return;
  // Where the next pack lies follows from the last one without a division.
  const bool narrow = count <= INT32_MAX / 2 && step <= INT32_MAX / 2;
  const auto rows_in = [&](std::int64_t packs) {
    return narrow ? static_cast<std::int64_t>(static_cast<std::uint32_t>(packs) / static_cast<std::uint32_t>(row))
                  : packs / row;
  };
  const std::int64_t step_rows = rows_in(step), step_rest = step - step_rows * row;
  std::int64_t n = rows_in(first), i = first - n * row;
  for (std::int64_t at = first; at < count;) {
    P packs[kNormalizeUnroll][Op::kInputs] = {};
    std::int64_t places[kNormalizeUnroll];
#pragma unroll
    for (int u = 0; u < kNormalizeUnroll; ++u) {
      places[u] = at < count ? (n * d.channels + channel) * row + i : -1;
      if (places[u] >= 0) {
#pragma unroll
        for (int k = 0; k < Op::kInputs; ++k) packs[u][k] = reinterpret_cast<const P*>(op.inputs[k])[places[u]];
      }
      at += step, n += step_rows, i += step_rest;
      if (i >= row) i -= row, ++n;
    }
#pragma unroll
    for (int u = 0; u < kNormalizeUnroll; ++u) {
      if (places[u] >= 0) body(places[u], packs[u]);
    }
  }
}

/// Elements `j` of the packs of all inputs, as they are computed in.
template <class Op, int V>
__device__ void take(const Pack<typename Op::Element, V> (&packs)[Op::kInputs], int j,
                     typename Op::Real (&values)[Op::kInputs]) {
#pragma unroll
  for (int k = 0; k < Op::kInputs; ++k) values[k] = cast<typename Op::Real>(packs[k].values[j]);
}

template <class Op, int V>
__global__ void __launch_bounds__(kThreads) normalize_planes(Op op, Division d) {
  using T = typename Op::Real;
  using P = Pack<typename Op::Element, V>;
  __shared__ Pair shared;
  const std::int64_t channel = blockIdx.x / d.splits;
  const int split = static_cast<int>(blockIdx.x % d.splits);
  if (d.sums) {
    const T reference = op.reference(channel);
    Pair sums{};
    visit_plane<Op, V>(op, d, channel, split, [&](std::int64_t, const P(&packs)[Op::kInputs]) {
#pragma unroll
      for (int j = 0; j < V; ++j) {
        T values[Op::kInputs];
        take<Op, V>(packs, j, values);
        op.add(sums, reference, values);
      }
    });
    sums.first = group_join<kThreads, Plus>(sums.first, 0.0);
    sums.second = group_join<kThreads, Plus>(sums.second, 0.0);
    bool last = true;
    if (d.splits > 1) {
      double* const partials = d.partials + channel * d.splits * 2;
      if (threadIdx.x == 0) partials[2 * split] = sums.first, partials[2 * split + 1] = sums.second;
      last = is_last_block(d.counters + channel, static_cast<unsigned>(d.splits));
      if (last) {
        sums = {};
        for (int s = static_cast<int>(threadIdx.x); s < d.splits; s += kThreads) {
          sums.first += static_cast<const volatile double*>(partials)[2 * s];
          sums.second += static_cast<const volatile double*>(partials)[2 * s + 1];
        }
        sums.first = group_join<kThreads, Plus>(sums.first, 0.0);
        sums.second = group_join<kThreads, Plus>(sums.second, 0.0);
      }
    }
    if (last && threadIdx.x == 0) {
      shared = op.finish(channel, sums);
      if (!d.elements && d.numbers != nullptr) d.numbers[channel] = shared;
    }
    __syncthreads();
  }
  if (!d.elements) return;
  const auto line = op.line(channel, d.sums                 ? shared
                                     : d.numbers != nullptr ? d.numbers[channel]
                                                            : op.still(channel, split == 0 && threadIdx.x == 0));
  visit_plane<Op, V>(op, d, channel, split, [&](std::int64_t place, const P(&packs)[Op::kInputs]) {
    P out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      T values[Op::kInputs];
      take<Op, V>(packs, j, values);
      out.values[j] = cast<typename Op::Element>(line(values));
    }
    reinterpret_cast<P*>(op.output)[place] = out;
  });
}

/// The packs of a column of (batch, channels) that this thread has.
template <class Op, int V, class Body>
__device__ void visit_column(const Op& op, const Division& d, std::int64_t column, std::int64_t first,
                             std::int64_t step, const Body& body) {
  using P = Pack<typename Op::Element, V>;
  const std::int64_t row = d.channels / V;
  for (std::int64_t at = first; at < d.batch;) {
    P packs[kNormalizeUnroll][Op::kInputs] = {};
#pragma unroll
    for (int u = 0; u < kNormalizeUnroll; ++u) {
      if (at + u * step < d.batch) {
#pragma unroll
        for (int k = 0; k < Op::kInputs; ++k)
          packs[u][k] = reinterpret_cast<const P*>(op.inputs[k])[(at + u * step) * row + column];
      }
    }
#pragma unroll
    for (int u = 0; u < kNormalizeUnroll; ++u) {
      if (at < d.batch) body(at * row + column, packs[u]);
      at += step;
    }
  }
}

/// Channels are innermost: neighbouring threads have neighbouring packs of channels, and rows side by side.
template <class Op, int V>
__global__ void __launch_bounds__(kThreads) normalize_points(Op op, Division d) {
  using T = typename Op::Real;
  using P = Pack<typename Op::Element, V>;
  constexpr int kWarps = kThreads / kWarp;
  __shared__ double parts[kWarps][2 * kTile];
  __shared__ Pair numbers[kTile];
  const std::int64_t unit = blockIdx.x % d.units;  // neighbouring blocks have neighbouring memory
  const int split = static_cast<int>(blockIdx.x / d.units);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int in_tile = lane % d.width * V;                              // this thread's first channel of the tile
  const std::int64_t tile = unit * d.width * V, own = tile + in_tile;  // the first channel of the tile, of the thread
  const bool active = own < d.channels;
  const int side_by_side = kThreads / d.width;
  const std::int64_t step = static_cast<std::int64_t>(d.splits) * side_by_side;
  const std::int64_t first =
      static_cast<std::int64_t>(split) * side_by_side + warp * (kWarp / d.width) + lane / d.width;
  const int tile_size = d.width * V;
  if (d.sums) {
    Pair sums[V] = {};
    if (active) {
      T references[V];
#pragma unroll
      for (int j = 0; j < V; ++j) references[j] = op.reference(own + j);
      visit_column<Op, V>(op, d, own / V, first, step, [&](std::int64_t, const P(&packs)[Op::kInputs]) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          T values[Op::kInputs];
          take<Op, V>(packs, j, values);
          op.add(sums[j], references[j], values);
        }
      });
    }
    // Lanes that have the same channels, then the warps, then the splits.
#pragma unroll
    for (int j = 0; j < V; ++j) {
      for (int distance = kWarp / 2; distance >= d.width; distance /= 2) {
        sums[j].first += __shfl_xor_sync(kAllLanes, sums[j].first, distance);
        sums[j].second += __shfl_xor_sync(kAllLanes, sums[j].second, distance);
      }
      if (lane < d.width) {
        parts[warp][2 * (in_tile + j)] = sums[j].first;
        parts[warp][2 * (in_tile + j) + 1] = sums[j].second;
      }
    }
    __syncthreads();
    const int numbers_of_tile = 2 * tile_size, value = static_cast<int>(threadIdx.x) % numbers_of_tile;
    const bool real = tile + value / 2 < d.channels;
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += parts[w][value];
    bool last = true;
    if (d.splits > 1) {
      double* const partials = d.partials + 2 * tile + value;
      if (real && static_cast<int>(threadIdx.x) < numbers_of_tile) partials[split * d.channels * 2] = total;
      last = is_last_block(d.counters + unit, static_cast<unsigned>(d.splits));
      if (last) {
        const int groups = kThreads / numbers_of_tile;
        total = 0;
        if (real) {
#pragma unroll 4
          for (int s = static_cast<int>(threadIdx.x) / numbers_of_tile; s < d.splits; s += groups)
            total += static_cast<const volatile double*>(partials)[s * d.channels * 2];
        }
      }
    }
    // Threads of the same number, but for those that have the sum of all already.
    double* const flat = &parts[0][0];
    __syncthreads();
    flat[threadIdx.x] = total;
    __syncthreads();
    if (d.splits > 1) {
      for (int distance = kThreads / 2; distance >= numbers_of_tile; distance /= 2) {
        if (static_cast<int>(threadIdx.x) < distance) flat[threadIdx.x] += flat[threadIdx.x + distance];
        __syncthreads();
      }
    }
    if (last && static_cast<int>(threadIdx.x) < tile_size && tile + threadIdx.x < d.channels) {
      const std::int64_t channel = tile + threadIdx.x;
      const Pair found = op.finish(channel, {flat[2 * threadIdx.x], flat[2 * threadIdx.x + 1]});
      numbers[threadIdx.x] = found;
      if (!d.elements && d.numbers != nullptr) d.numbers[channel] = found;
    }
    __syncthreads();
  }
  if (!d.elements || !active) return;
  typename Op::Line lines[V];
#pragma unroll
  for (int j = 0; j < V; ++j) {
    const bool records = split == 0 && static_cast<int>(threadIdx.x) < d.width;
    lines[j] = op.line(own + j, d.sums                 ? numbers[in_tile + j]
                                : d.numbers != nullptr ? d.numbers[own + j]
                                                       : op.still(own + j, records));
  }
  visit_column<Op, V>(op, d, own / V, first, step, [&](std::int64_t place, const P(&packs)[Op::kInputs]) {
    P out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      T values[Op::kInputs];
      take<Op, V>(packs, j, values);
      out.values[j] = cast<typename Op::Element>(lines[j](values));
    }
    reinterpret_cast<P*>(op.output)[place] = out;
  });
}

/// Launches what is wanted of the two halves, in one kernel where a channel's blocks would not get enough to do.
/// REQUIRES: channels > 0.
template <int V, class Op>
void normalize_with(const CudaBackend& backend, const Op& op, Division d, bool sums, bool elements) {
  const bool points = d.inner == 1;
  std::int64_t items = 0;  // for one thread if no unit were split
  if (points) {
    const std::int64_t columns = d.channels / V;
    d.width = 1;
    while (d.width < columns && d.width < kWarp && 2 * d.width * V <= kTile) d.width *= 2;
    // Narrower where fewer lanes have nothing to do then, as long as 4 lanes are side by side.
    const auto lanes = [&](int width) { return (columns + width - 1) / width * width; };
    for (int width = d.width / 2; width >= 4; width /= 2) {
      if (lanes(width) < lanes(d.width)) d.width = width;
    }
    d.units = (columns + d.width - 1) / d.width;
    items = (d.batch + kThreads / d.width - 1) / (kThreads / d.width);
  } else {
    d.units = d.channels;
    items = (d.batch * (d.inner / V) + kThreads - 1) / kThreads;
  }
  // Enough blocks to fill the device several times, each with enough to do for several packs under way.
  const std::int64_t wanted = std::int64_t{2048} / kThreads * backend.multiprocessors() * 2;
  std::int64_t splits = std::min((wanted + d.units - 1) / d.units, (items + kNormalizeUnroll - 1) / kNormalizeUnroll);
  splits = std::max<std::int64_t>(splits, 1);
  const bool once = sums && elements && (splits == 1 || items <= 4 * kNormalizeUnroll);
  const bool possible = d.units <= Scratch::kCounters && d.channels <= kMostNumbers;
  d.splits =
      static_cast<int>(once || !possible ? 1 : std::max<std::int64_t>(1, std::min(splits, kMostPartials / d.channels)));
  const Scratch& scratch = backend.scratch();
  d.counters = scratch.counters;
  d.partials = reinterpret_cast<double*>(reinterpret_cast<Pair*>(scratch.partials) + kMostNumbers);
  const auto start = [&](bool first, bool second) {
    d.sums = first, d.elements = second;
    const auto blocks = static_cast<unsigned>(d.units * d.splits);
    if (points)
      launch(backend, blocks, kThreads, normalize_points<Op, V>, op, d);
    else
      launch(backend, blocks, kThreads, normalize_planes<Op, V>, op, d);
  };
  if (sums && elements && d.splits > 1) {
    d.numbers = reinterpret_cast<Pair*>(scratch.partials);
    start(true, false);
    start(false, true);
  } else {
    start(sums, elements);
  }
}

/// The same with as wide packs as the arrays allow.
template <class Op>
void normalize_any(const CudaBackend& backend, const Op& op, const Division& division, bool sums, bool elements) {
  using E = typename Op::Element;
  constexpr int kVector = sizeof(E) == 8 ? 1 : kPerVector<E>;  // 8 bytes for each thread do as well
  bool aligned = (division.inner == 1 ? division.channels : division.inner) % kVector == 0 && is_aligned(op.output);
  for (const E* input : op.inputs) aligned = aligned && is_aligned(input);
  if (kVector > 1 && aligned)
    normalize_with<kVector>(backend, op, division, sums, elements);
  else
    normalize_with<1>(backend, op, division, sums, elements);
}

}  // namespace mnemo::cuda
