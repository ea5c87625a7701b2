// Which of the kernels of reduce_kernels.h makes a reduction, and with how many blocks. Private: includes CUDA's
// headers.
#pragma once

#include <bit>

#include <mnemo/cuda/kernels/reduce_kernels.h>
#include <mnemo/cuda/kernels/reductions.h>

namespace mnemo::cuda {

/// x with the axes of `mask` removed or kept alone; the others stay at index 0.
inline Array select_axes(const Array& x, unsigned mask, bool keep) {
  Dims sizes, strides;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool reduced = (mask >> axis & 1u) != 0;
    if (reduced == keep) {
      sizes.push_back(x.size(axis));
      strides.push_back(x.strides()[axis]);
    }
  }
  return {x.storage(), {Shape(sizes), strides, x.layout().offset}, x.dtype()};
}

/// The power of two that is not less, within bounds.
inline int power_of_two(std::int64_t value, int least, int most) {
  return static_cast<int>(std::bit_ceil(static_cast<std::uint64_t>(std::clamp<std::int64_t>(value, least, most))));
}

/// How many blocks share the work of one place out of `places` so that the device is busy and each has `least` items.
template <class Op>
void split(const CudaBackend& backend, Reduction<Op>& r, std::int64_t places, std::int64_t results,
           std::int64_t least) {
  constexpr int kBlocks = 8;  // per multiprocessor
  const std::int64_t room = static_cast<std::int64_t>(Scratch::kBytes / sizeof(typename Op::Partial)) / results;
  std::int64_t splits = (std::int64_t{kBlocks} * backend.multiprocessors() + places - 1) / places;
  splits = std::min({splits, room, r.items.count / least});
  if (splits < 2 || places > Scratch::kCounters) return;
  const Scratch& scratch = backend.scratch();
  r.splits = splits;
  r.partials = reinterpret_cast<typename Op::Partial*>(scratch.partials);
  r.counters = scratch.counters;
}

/// Whether x begins at a multiple of packs of N, and all steps are multiples.
template <int N, int M, class T>
bool in_packs(const Index<M>& index, int dimensions, const T* x) {
  bool fits = reinterpret_cast<std::uintptr_t>(x) % (N * sizeof(T)) == 0;
  for (int d = 0; d < dimensions; ++d) fits = fits && index.strides[d][0] % N == 0;
  return fits;
}

template <int N, class Op>
void run_rows(const CudaBackend& backend, Reduction<Op> r, bool neighbours) {
  if constexpr (N > 1) {
    r.rest = static_cast<int>(r.items.rank == 1 ? r.items.count % N : 0);
    r.items.group(N);
    if (r.rest > 0) --r.items.count;
  }
  constexpr int kFew = 256;
  const std::int64_t results = r.results.count, items = r.items.count;
  if (!neighbours || items <= kFew || results >= std::int64_t{64} * backend.multiprocessors()) {
    const int lanes = neighbours ? power_of_two((items + 1) / 2, 1, kWarp) : 1;
    return launch(backend, blocks_for(backend, results * lanes), kThreads, reduce_by_lanes<N, Op>, r, lanes);
  }
  split(backend, r, results, results, 2 * kAtOnce * kThreads);
  launch(backend, blocks_for(backend, results * r.splits * kThreads), kThreads, reduce_by_blocks<N, Op>, r);
}

template <int N, class Op>
void run_columns(const CudaBackend& backend, Columns<Op> c, int across) {
  c.across = across;
  const std::int64_t tiles = (c.width + across * N - 1) / (across * N), places = c.r.results.count * tiles;
  split(backend, c.r, places, c.r.results.count * c.width, 2 * kAtOnce * kThreads / across);
  launch(backend, blocks_for(backend, places * c.r.splits * kThreads), kThreads, reduce_columns<N, Op>, c);
}

/// out = x reduced over the axes of `axes`. PACKS: elements are read several at a time where they can be.
template <int PACKS, class Op>
void reduce_as(const CudaBackend& backend, const Op& op, const Array& x, unsigned axes, const Array& out) {
  using T = typename Op::Element;
  const Array kept = select_axes(x, axes, false), reduced = select_axes(x, axes, true);
  const Array target = select_axes(out, axes, false);
  Reduction<Op> r{op, Index<2>({&kept, &target}), Index<1>({&reduced}), elements<T>(x),
                  elements<typename Op::Result>(out)};
  const int last = r.results.rank - 1, deepest = r.items.rank - 1;
  const std::int64_t between_items = deepest >= 0 ? r.items.strides[deepest][0] : 1;
  if (last >= 0 && r.items.count > 1 && between_items > r.results.strides[last][0]) {
    Columns<Op> c{r, r.results.sizes[last], r.results.strides[last][0], r.results.strides[last][1], 0};
    c.r.results.remove(last);
    const auto threads_across = [&](std::int64_t packs) {
      int across = power_of_two(packs, 1, kWarp);
      while (across < kThreads && across < packs && kThreads / across > r.items.count) across *= 2;
      return across;
    };
    const bool packs = PACKS > 1 && c.step == 1 && c.width % PACKS == 0 && in_packs<PACKS>(r.results, last, r.x) &&
                       in_packs<PACKS>(r.items, r.items.rank, r.x);
    const int across = threads_across(packs ? c.width / PACKS : c.width);
    constexpr std::int64_t kLeastBusy = 64;  // threads of a block that have something to do
    const std::int64_t busy =
        std::min<std::int64_t>(across, c.width) * std::min(r.items.count, std::int64_t{kThreads} / across);
    if (packs && busy >= kLeastBusy) return run_columns<PACKS>(backend, c, across);
    if (!packs && busy >= kLeastBusy) return run_columns<1>(backend, c, across);
    return run_rows<1>(backend, r, false);
  }
  const bool packs = PACKS > 1 && deepest >= 0 && between_items == 1 && r.items.count >= PACKS &&
                     (deepest == 0 || r.items.sizes[deepest] % PACKS == 0) && in_packs<PACKS>(r.items, deepest, r.x) &&
                     in_packs<PACKS>(r.results, r.results.rank, r.x);
  if (packs)
    run_rows<PACKS>(backend, r, true);
  else
    run_rows<1>(backend, r, true);
}

}  // namespace mnemo::cuda
