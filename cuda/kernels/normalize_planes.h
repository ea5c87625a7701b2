// The kernel of batch normalization where a channel has planes: runs of neighbouring elements. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// Blocks on a multiprocessor at once, and packs of all inputs together that a thread is loading: as many as there are
/// registers for.
template <int V>
inline constexpr int kPlaneBlocks = V > 4 ? 3 : 4;
template <class E, int V>
inline constexpr int kPlanePacks = V == 1 && sizeof(E) < 8 ? 8 : 4;

/// The packs of one channel of row-major (batch, channels, inner) that a thread has. The first are on the way from the
/// beginning, while the numbers of the channel are still read.
template <int V, class E, int K>
class Plane {
 public:
  __device__ Plane(const E* const (&inputs)[K], const Division& d, bool backwards, std::int64_t channel, int split)
      : inputs_(inputs) {
    const std::int64_t count = d.batch * (d.inner / V), step = static_cast<std::int64_t>(d.splits) * kThreads;
    const std::int64_t first = static_cast<std::int64_t>(split) * kThreads + threadIdx.x;
    row_ = d.inner / V;
    if (first >= count) return;
    // Where the next pack lies follows from the last one without a division.
    const bool narrow = count <= INT32_MAX / 2 && step <= INT32_MAX / 2;
    const auto quotient = [&](std::int64_t packs, std::int64_t by) {
      return narrow ? static_cast<std::int64_t>(static_cast<std::uint32_t>(packs) / static_cast<std::uint32_t>(by))
                    : packs / by;
    };
    step_rows_ = quotient(step, row_), n_ = quotient(first, row_);
    step_rest_ = step - step_rows_ * row_;
    in_row_ = first - n_ * row_;
    place_ = n_ * d.channels * row_ + in_row_;
    stride_ = step_rows_ * d.channels * row_ + step_rest_, wrap_ = (d.channels - 1) * row_;
    if (backwards) {
      place_ = (d.batch - 1) * d.channels * row_ + row_ - 1 - place_;
      stride_ = -stride_, wrap_ = -wrap_;
    }
    place_ += channel * row_;
    left_ = quotient(count - 1 - first, step) + 1;
    if (left_ >= kLoads) load();
  }
  /// body(place, image unless backwards, packs of the inputs)
  template <class Body>
  __device__ void visit(const Body& body) {
    for (bool loaded = true; left_ >= kLoads; left_ -= kLoads) {
      if (!loaded) load();
      loaded = false;
#pragma unroll
      for (int u = 0; u < kLoads; ++u) body(places_[u], images_[u], packs_[u]);
    }
#pragma unroll
    for (int u = 0; u < kLoads - 1; ++u) {
      if (u < left_) load_packs<V>(inputs_, place_, packs_[u]);
      places_[u] = place_, images_[u] = n_, advance();
    }
#pragma unroll
    for (int u = 0; u < kLoads - 1; ++u) {
      if (u < left_) body(places_[u], images_[u], packs_[u]);
    }
  }

 private:
  static constexpr int kLoads = (kPlanePacks<E, V> + K - 1) / K;

  __device__ void advance() {
    place_ += stride_, in_row_ += step_rest_, n_ += step_rows_;
    if (in_row_ >= row_) place_ += wrap_, in_row_ -= row_, ++n_;
  }
  __device__ void load() {
#pragma unroll
    for (int u = 0; u < kLoads; ++u) {
      load_packs<V>(inputs_, place_, packs_[u]);
      places_[u] = place_, images_[u] = n_, advance();
    }
  }

  const E* const (&inputs_)[K];
  std::int64_t row_, in_row_ = 0, step_rest_ = 0, place_ = 0, stride_ = 0, wrap_ = 0, left_ = 0;
  std::int64_t n_ = 0, step_rows_ = 0;
  std::int64_t places_[kLoads], images_[kLoads];
  Raw<E, V> packs_[kLoads][K];
};

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
    Plane<V, E, Op::kSums> mine(op.sum_inputs, d, false, channel, split);
    const typename Op::Context context = op.context(channel);
    Pair sums{};
    mine.visit([&](std::int64_t place, std::int64_t n, const R(&packs)[Op::kSums]) {
      Partial<E> first = 0, second = 0;
      P kept;
#pragma unroll
      for (int j = 0; j < V; ++j) add_terms<Op, V>(op, context, n, packs, j, first, second, kept);
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
  if constexpr (Op::kElements) {
    if (!d.elements) return;
    Plane<V, E, Op::kInputs> mine(op.inputs, d, d.follows(), channel, split);
    const auto line = op.line(channel, d.sums                 ? shared
                                       : d.numbers != nullptr ? d.numbers[channel]
                                                              : op.still(channel, split == 0 && threadIdx.x == 0));
    mine.visit([&](std::int64_t place, std::int64_t, const R(&packs)[Op::kInputs]) {
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
}

}  // namespace mnemo::cuda
