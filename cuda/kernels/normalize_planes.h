// The kernel of batch normalization where a channel has planes: runs of neighbouring elements. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// The packs of one channel of row-major (batch, channels, inner) that this thread has: body(place, packs of the
/// inputs).
template <class Op, int V, class Body>
__device__ void visit_plane(const Op& op, const Division& d, std::int64_t channel, int split, const Body& body) {
  using P = Pack<typename Op::Element, V>;
  constexpr int kUnroll = kUnderWay / Op::kInputs;
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
    P packs[kUnroll][Op::kInputs] = {};
    std::int64_t places[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      places[u] = at < count ? (n * d.channels + channel) * row + i : -1;
      if (places[u] >= 0) {
#pragma unroll
        for (int k = 0; k < Op::kInputs; ++k) packs[u][k] = reinterpret_cast<const P*>(op.inputs[k])[places[u]];
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
__global__ void __launch_bounds__(kThreads, kNormalizeBlocks<V>) normalize_planes(Op op, Division d) {
  using T = typename Op::Real;
  using P = Pack<typename Op::Element, V>;
  __shared__ Pair shared;
  const unsigned block = block_of(d), splits = static_cast<unsigned>(d.splits);
  const std::int64_t channel = block / splits;
  const int split = static_cast<int>(block % splits);
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

}  // namespace mnemo::cuda
