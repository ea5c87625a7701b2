// The kernel of batch normalization where a channel has planes: runs of neighbouring elements. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// Blocks on a multiprocessor at once, at least, and packs of all inputs together that a thread is loading: as many as
/// there are registers for.
template <int V>
inline constexpr int kPlaneBlocks = V > 4 ? 3 : 4;
inline constexpr int kPlanePacks = 4;

/// The packs of one channel of row-major (batch, channels, inner) that this thread has: body(place, packs of the
/// inputs).
template <int V, class E, int K, class Body>
__device__ void visit_plane(const E* const (&inputs)[K], const Division& d, std::int64_t channel, int split,
                            const Body& body) {
  using P = Pack<E, V>;
  constexpr int kUnroll = (kPlanePacks + K - 1) / K;
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
    P packs[kUnroll][K] = {};
    std::int64_t places[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      places[u] = at < count ? (n * d.channels + channel) * row + i : -1;
      if (places[u] >= 0) {
#pragma unroll
        for (int k = 0; k < K; ++k) packs[u][k] = reinterpret_cast<const P*>(inputs[k])[places[u]];
      }
      at += step, n += step_rows, i += step_rest;
      if (i >= row) i -= row, ++n;
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (places[u] >= 0) body(places[u], packs[u]);
    }
  }
}

template <class Op, int V>
__global__ void __launch_bounds__(kThreads, kPlaneBlocks<V>) normalize_planes(Op op, Division d) {
  using E = typename Op::Element;
  using P = Pack<E, V>;
  __shared__ Pair shared;
  const unsigned block = block_of(d), splits = static_cast<unsigned>(d.splits);
  const std::int64_t channel = block / splits;
  const int split = static_cast<int>(block % splits);
  if (d.sums) {
    const typename Op::Context context = op.context(channel);
    Pair sums{};
    visit_plane<V>(op.sum_inputs, d, channel, split, [&](std::int64_t place, const P(&packs)[Op::kSums]) {
      Partial<E> first = 0, second = 0;
      P kept;
#pragma unroll
      for (int j = 0; j < V; ++j) add_terms<Op, V>(context, packs, j, first, second, kept);
      sums.first += static_cast<double>(first);
      sums.second += static_cast<double>(second);
      if constexpr (Op::kKeeps) reinterpret_cast<P*>(op.kept)[place] = kept;
    });
    sums.first = group_join<kThreads, Plus>(sums.first, 0.0);
    sums.second = group_join<kThreads, Plus>(sums.second, 0.0);
    bool last = true;
    if (d.splits > 1) {
      double* const partials = d.partials + channel * d.splits * 2;
      if (threadIdx.x == 0) partials[2 * split] = sums.first, partials[2 * split + 1] = sums.second;
      last = is_last_block(d.counters + channel, splits);
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
  visit_plane<V>(op.inputs, d, channel, split, [&](std::int64_t place, const P(&packs)[Op::kInputs]) {
    P out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      typename Op::Real values[Op::kInputs];
      take(packs, j, values);
      out.values[j] = op.element(line, values);
    }
    reinterpret_cast<P*>(op.output)[place] = out;
  });
}

}  // namespace mnemo::cuda
