// The kernel of batch normalization where the channels are innermost: every element has its own. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// As for planes; every channel of a pack has sums of its own.
template <int V>
inline constexpr int kPointBlocks = V > 4 ? 2 : 3;
/// Rows of K inputs that a thread is loading; an even number.
template <int V, int K>
inline constexpr int kPointRows = V > 4 ? 8 - 2 * K : 4 - (K > 1 ? 2 : 0);

/// The packs of a column of (batch, channels) that this thread has, and `flush()` after every two rows, whatever the
/// number of inputs.
template <int V, class E, int K, class Body, class Flush>
__device__ void visit_column(const E* const (&inputs)[K], const Division& d, std::int64_t column, std::int64_t first,
                             std::int64_t step, const Body& body, const Flush& flush) {
  using P = Pack<E, V>;
  constexpr int kUnroll = kPointRows<V, K>;
  const std::int64_t row = d.channels / V;
  for (std::int64_t at = first; at < d.batch;) {
    P packs[kUnroll][K] = {};
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (at + u * step < d.batch) {
#pragma unroll
        for (int k = 0; k < K; ++k) packs[u][k] = reinterpret_cast<const P*>(inputs[k])[(at + u * step) * row + column];
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (at < d.batch) body(at * row + column, packs[u]);
      if (u % 2 == 1) flush();
      at += step;
    }
  }
}

/// Channels are innermost: neighbouring threads have neighbouring packs of channels, and rows side by side.
template <class Op, int V>
__global__ void __launch_bounds__(kThreads, kPointBlocks<V>) normalize_points(Op op, Division d) {
  using E = typename Op::Element;
  using P = Pack<E, V>;
  constexpr int kWarps = kThreads / kWarp;
  __shared__ double parts[kWarps][2 * kChannelTile];
  __shared__ Pair numbers[kChannelTile];
  const unsigned block = block_of(d), units = static_cast<unsigned>(d.units);
  const std::int64_t unit = block % units;  // neighbouring blocks have neighbouring memory
  const int split = static_cast<int>(block / units);
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
      typename Op::Context contexts[V];
      constexpr bool kFew = !std::is_same_v<Partial<E>, double>;
      Partial<E> firsts[kFew ? V : 1] = {}, seconds[kFew ? V : 1] = {};
#pragma unroll
      for (int j = 0; j < V; ++j) contexts[j] = op.context(own + j);
      visit_column<V>(
          op.sum_inputs, d, own / V, first, step,
          [&](std::int64_t place, const P(&packs)[Op::kSums]) {
            P kept;
#pragma unroll
            for (int j = 0; j < V; ++j) {
              if constexpr (kFew)
                add_terms<Op, V>(contexts[j], packs, j, firsts[j], seconds[j], kept);
              else
                add_terms<Op, V>(contexts[j], packs, j, sums[j].first, sums[j].second, kept);
            }
            if constexpr (Op::kKeeps) reinterpret_cast<P*>(op.kept)[place] = kept;
          },
          [&] {
            if constexpr (kFew) {
#pragma unroll
              for (int j = 0; j < V; ++j) {
                sums[j].first += static_cast<double>(firsts[j]);
                sums[j].second += static_cast<double>(seconds[j]);
                firsts[j] = seconds[j] = 0;
              }
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
  visit_column<V>(
      op.inputs, d, own / V, first, step,
      [&](std::int64_t place, const P(&packs)[Op::kInputs]) {
        P out;
#pragma unroll
        for (int j = 0; j < V; ++j) {
          typename Op::Real values[Op::kInputs];
          take(packs, j, values);
          out.values[j] = op.element(lines[j], values);
        }
        reinterpret_cast<P*>(op.output)[place] = out;
      },
      [] {});
}

}  // namespace mnemo::cuda
