// The kernel of batch normalization where a channel has planes: runs of neighbouring elements. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// Blocks on a multiprocessor at once, and packs of all inputs together that a thread is loading: as many as there are
/// registers for.
template <int V>
inline constexpr int kPlaneBlocks = V > 4 ? 3 : 4;
template <int V>
inline constexpr int kPlanePacks = V > 1 ? 4 : 8;

/// The packs of one channel of row-major (batch, channels, inner) that this thread has: body(place, packs of the
/// inputs).
template <int V, class E, int K, class Body>
__device__ void visit_plane(const E* const (&inputs)[K], const Division& d, std::int64_t channel, int split,
                            const Body& body) {
  constexpr int kUnroll = (kPlanePacks<V> + K - 1) / K;
  const std::int64_t row = d.inner / V, count = d.batch * row;
  const std::int64_t step = static_cast<std::int64_t>(d.splits) * kThreads;
  const std::int64_t first = static_cast<std::int64_t>(split) * kThreads + threadIdx.x;
  if (first >= count) return;
  // Where the next pack lies follows from the last one without a division.
  const bool narrow = count <= INT32_MAX / 2 && step <= INT32_MAX / 2;
  const auto quotient = [&](std::int64_t packs, std::int64_t by) {
    return narrow ? static_cast<std::int64_t>(static_cast<std::uint32_t>(packs) / static_cast<std::uint32_t>(by))
                  : packs / by;
  };
  const std::int64_t step_rows = quotient(step, row), step_rest = step - step_rows * row;
  const std::int64_t n = quotient(first, row);
  std::int64_t i = first - n * row;
  const std::int64_t sign = d.backwards() ? -1 : 1;
  std::int64_t place = n * d.channels * row + i;
  if (d.backwards()) place = (d.batch - 1) * d.channels * row + row - 1 - place;
  place += channel * row;
  const std::int64_t stride = sign * (step_rows * d.channels * row + step_rest), wrap = sign * (d.channels - 1) * row;
  const auto advance = [&] {
    place += stride, i += step_rest;
    if (i >= row) place += wrap, i -= row;
  };
  Raw<E, V> packs[kUnroll][K];
  std::int64_t places[kUnroll];
  std::int64_t left = quotient(count - 1 - first, step) + 1;
  for (; left >= kUnroll; left -= kUnroll) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      places[u] = place;
      load_packs<V>(inputs, place, packs[u]);
      advance();
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) body(places[u], packs[u]);
  }
#pragma unroll
  for (int u = 0; u < kUnroll - 1; ++u) {
    places[u] = place;
    if (u < left) load_packs<V>(inputs, place, packs[u]);
    advance();
  }
#pragma unroll
  for (int u = 0; u < kUnroll - 1; ++u) {
    if (u < left) body(places[u], packs[u]);
  }
}

template <class Op, int V>
__global__ void __launch_bounds__(kThreads, kPlaneBlocks<V>) normalize_planes(Op op, Division d) {
  using E = typename Op::Element;
  using P = Pack<E, V>;
  using R = Raw<E, V>;
  __shared__ Pair shared;
  const unsigned block = d.block(), splits = static_cast<unsigned>(d.splits);
  const std::int64_t channel = block / splits;
  const int split = static_cast<int>(block % splits);
  if (d.sums) {
    const typename Op::Context context = op.context(channel);
    Pair sums{};
    visit_plane<V>(op.sum_inputs, d, channel, split, [&](std::int64_t place, const R(&packs)[Op::kSums]) {
      Partial<E> first = 0, second = 0;
      P kept;
#pragma unroll
      for (int j = 0; j < V; ++j) add_terms<Op, V>(context, packs, j, first, second, kept);
      sums.first += static_cast<double>(first);
      sums.second += static_cast<double>(second);
      if constexpr (Op::kKeeps) store(kept, op.kept + place * V);
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
  visit_plane<V>(op.inputs, d, channel, split, [&](std::int64_t place, const R(&packs)[Op::kInputs]) {
    P out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      typename Op::Real values[Op::kInputs];
      take<E, V>(packs, j, values);
      out.values[j] = op.element(line, values);
    }
    store(out, op.output + place * V);
  });
}

}  // namespace mnemo::cuda
