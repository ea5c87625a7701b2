// The three kernels that reduce, for any Op of reductions.h: a few threads per result, blocks per result, and blocks
// per row of neighbouring results. Results that several blocks work on go through the stream's scratch; the last block
// to finish joins them, always in the same order. Private: includes CUDA's headers.
#pragma once

#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

inline constexpr int kAtOnce = 4;  ///< loads that a thread has on the way

/// One reduction. results: x, out. items: the reduced elements of one result in x, packs of N of them where the kernel
/// reads packs, and `rest` more behind the last.
template <class Op>
struct Reduction {
  Op op;
  Index<2> results;
  Index<1> items;
  const typename Op::Element* x;
  typename Op::Result* out;
  int rest = 0;
  // blocks that share a result
  std::int64_t splits = 1;
  typename Op::Partial* partials = nullptr;
  unsigned* counters = nullptr;
};

/// Stands behind the last item.
template <int N, class Op>
__device__ auto neutral_pack(const Op& op) {
  Pack<typename Op::Element, N> pack;
  for (int i = 0; i < N; ++i) pack.values[i] = op.neutral();
  return raw(pack);
}

/// Joins items first, first + step, ... below `end` of the result at `x`.
template <int N, class Op>
__device__ typename Op::Partial accumulate(const Reduction<Op>& r, const typename Op::Element* x, std::int64_t first,
                                           std::int64_t end, std::int64_t step) {
  using T = typename Op::Element;
  const Raw<T, N> neutral = neutral_pack<N>(r.op);
  auto total = Op::start();
  for (; first < end; first += kAtOnce * step) {
    Raw<T, N> packs[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t item = first + k * step;
      packs[k] = neutral;
      if (item < end) {
        std::int64_t at[1];
        r.items.offsets(item, at);
        packs[k] = load_raw<N>(x + at[0]);
      }
    }
    T values[kAtOnce * N];
    for (int k = 0; k < kAtOnce; ++k) {
      const Pack<T, N> pack = unpacked<T, N>(packs[k]);
      for (int i = 0; i < N; ++i) values[k * N + i] = pack.values[i];
    }
    total = Op::join(total, r.op.run(values, first, step));
  }
  return total;
}

/// What is left behind the last pack, shared out to threads lane, lane + lanes, ...
template <int N, class Op>
__device__ typename Op::Partial accumulate_rest(const Reduction<Op>& r, const typename Op::Element* x, int lane,
                                                int lanes) {
  auto total = Op::start();
  if constexpr (N > 1) {
    for (int i = lane; i < r.rest; i += lanes) {
      const typename Op::Element one[1] = {x[r.items.count * N + i]};
      total = Op::join(total, r.op.run(one, 0, 0));
    }
  }
  return total;
}

/// `lanes` threads (a power of two, at most a warp) make one result.
template <int N, class Op>
__global__ void __launch_bounds__(kThreads) reduce_by_lanes(Reduction<Op> r, int lanes) {
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const std::int64_t groups = item_step() / lanes, per_warp = kWarp / lanes;
  for (std::int64_t result = first_item() / lanes;; result += groups) {
    if (result / per_warp * per_warp >= r.results.count) break;  // the same for the whole warp
    auto total = Op::start();
    std::int64_t at[2] = {0, 0};
    if (result < r.results.count) {
      r.results.offsets(result, at);
      total = accumulate<N>(r, r.x + at[0], lane, r.items.count, lanes);
      total = Op::join(total, accumulate_rest<N>(r, r.x + at[0], lane, lanes));
    }
    for (int mask = lanes / 2; mask > 0; mask /= 2) total = Op::join(total, Op::exchange(total, mask));
    if (lane == 0 && result < r.results.count) r.out[at[1]] = r.op.finish(total);
  }
}

/// Joins one partial result of every thread; thread 0 gets what all together make.
template <class Op>
__device__ typename Op::Partial join_block(typename Op::Partial total) {
  __shared__ typename Op::Partial of_warps[kThreads / kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int mask = kWarp / 2; mask > 0; mask /= 2) total = Op::join(total, Op::exchange(total, mask));
  __syncthreads();  // what was here before has been read
  if (lane == 0) of_warps[warp] = total;
  __syncthreads();
  if (warp == 0) {
    total = lane < kThreads / kWarp ? of_warps[lane] : Op::start();
    for (int mask = kThreads / kWarp / 2; mask > 0; mask /= 2) total = Op::join(total, Op::exchange(total, mask));
  }
  return total;
}

/// Called by all threads of a block once its partial results are written: whether it is the last of `splits` to be so,
/// and joins them all.
__device__ inline bool joins(unsigned* counter, std::int64_t splits) {
  if (!is_last_block(counter, static_cast<unsigned>(splits))) return false;
  __threadfence();  // every thread reads what the other blocks wrote, not what this multiprocessor saw there before
  return true;
}

/// `splits` blocks make one result.
template <int N, class Op>
__global__ void __launch_bounds__(kThreads) reduce_by_blocks(Reduction<Op> r) {
  const auto thread = static_cast<int>(threadIdx.x);
  const std::int64_t share = (r.items.count + r.splits - 1) / r.splits;
  for (std::int64_t work = blockIdx.x; work < r.results.count * r.splits; work += gridDim.x) {
    const std::int64_t result = work / r.splits, split = work - result * r.splits;
    std::int64_t at[2];
    r.results.offsets(result, at);
    const std::int64_t begin = split * share;
    auto total = accumulate<N>(r, r.x + at[0], begin + thread, std::min(begin + share, r.items.count), kThreads);
    if (split == 0) total = Op::join(total, accumulate_rest<N>(r, r.x + at[0], thread, kThreads));
    total = join_block<Op>(total);
    if (r.splits > 1) {
      if (thread == 0) r.partials[work] = total;
      if (!joins(r.counters + result, r.splits)) continue;
      total = Op::start();
      for (std::int64_t i = thread; i < r.splits; i += kThreads) {
        total = Op::join(total, r.partials[result * r.splits + i]);
      }
      total = join_block<Op>(total);
    }
    if (thread == 0) r.out[at[1]] = r.op.finish(total);
  }
}

/// Results that are neighbours in x: `width` of them in a row, `results` being the rows, `step` and `out_step` apart.
template <class Op>
struct Columns {
  Reduction<Op> r;
  std::int64_t width, step, out_step;
  int across;  ///< threads of a block next to each other, a power of two; the others take other items
};

/// Joins N partial results of every thread with those of the threads of the same column; row 0 of them gets all.
template <int N, class Op>
__device__ void join_columns(typename Op::Partial (&totals)[N], int across) {
  __shared__ typename Op::Partial shared[N][kThreads];
  const auto thread = static_cast<int>(threadIdx.x);
  __syncthreads();
  for (int i = 0; i < N; ++i) shared[i][thread] = totals[i];
  for (int half = kThreads / 2; half >= across; half /= 2) {
    __syncthreads();
    if (thread < half) {
      for (int i = 0; i < N; ++i) {
        totals[i] = Op::join(totals[i], shared[i][thread + half]);
        shared[i][thread] = totals[i];
      }
    }
  }
}

/// A block makes across * N neighbouring results, or `splits` blocks do.
template <int N, class Op>
__global__ void __launch_bounds__(kThreads) reduce_columns(Columns<Op> c) {
  using T = typename Op::Element;
  const Reduction<Op>& r = c.r;
  const int column = static_cast<int>(threadIdx.x) % c.across, row = static_cast<int>(threadIdx.x) / c.across;
  const int rows = kThreads / c.across;
  const std::int64_t tiles = (c.width + c.across * N - 1) / (c.across * N);
  const std::int64_t share = (r.items.count + r.splits - 1) / r.splits;
  for (std::int64_t work = blockIdx.x; work < r.results.count * tiles * r.splits; work += gridDim.x) {
    const std::int64_t place = work / r.splits, split = work - place * r.splits;
    const std::int64_t line = place / tiles, tile = place - line * tiles;
    const std::int64_t first = (tile * c.across + column) * N;  // of the N columns of this thread
    std::int64_t at[2];
    r.results.offsets(line, at);
    typename Op::Partial totals[N];
    for (int i = 0; i < N; ++i) totals[i] = Op::start();
    if (first < c.width) {
      const T* x = r.x + at[0] + first * c.step;
      const Raw<T, N> neutral = neutral_pack<N>(r.op);
      const std::int64_t end = std::min((split + 1) * share, r.items.count);
      for (std::int64_t item = split * share + row; item < end; item += kAtOnce * rows) {
        Raw<T, N> packs[kAtOnce];
        for (int k = 0; k < kAtOnce; ++k) {
          packs[k] = neutral;
          if (item + k * rows < end) {
            std::int64_t of_item[1];
            r.items.offsets(item + k * rows, of_item);
            packs[k] = load_raw<N>(x + of_item[0]);
          }
        }
        T values[N][kAtOnce];
        for (int k = 0; k < kAtOnce; ++k) {
          const Pack<T, N> pack = unpacked<T, N>(packs[k]);
          for (int i = 0; i < N; ++i) values[i][k] = pack.values[i];
        }
        for (int i = 0; i < N; ++i) totals[i] = Op::join(totals[i], r.op.run(values[i], item, rows));
      }
    }
    join_columns<N, Op>(totals, c.across);
    if (r.splits > 1) {
      typename Op::Partial* partials = r.partials + line * r.splits * c.width + first;
      if (row == 0 && first < c.width) {
        for (int i = 0; i < N; ++i) partials[split * c.width + i] = totals[i];
      }
      if (!joins(r.counters + place, r.splits)) continue;
      for (int i = 0; i < N; ++i) totals[i] = Op::start();
      if (first < c.width) {
        for (std::int64_t s = row; s < r.splits; s += rows) {
          for (int i = 0; i < N; ++i) totals[i] = Op::join(totals[i], partials[s * c.width + i]);
        }
      }
      join_columns<N, Op>(totals, c.across);
    }
    if (row == 0 && first < c.width) {
      for (int i = 0; i < N; ++i) r.out[at[1] + (first + i) * c.out_step] = r.op.finish(totals[i]);
    }
  }
}

}  // namespace mnemo::cuda
