// What both directions of batch normalization share: two sums for each channel of (batch, channels, inner), two numbers
// that follow from them, and a pass over the elements that takes these. One kernel does one half or both. Private.
#pragma once

#include <mnemo/cuda/kernels/normalize_planes.h>
#include <mnemo/cuda/kernels/normalize_points.h>

namespace mnemo::cuda {

/// Launches what is wanted of the two halves, in one kernel where a channel's blocks would not get enough to do.
/// REQUIRES: channels > 0.
template <int V, class Op>
void normalize_with(const CudaBackend& backend, const Op& op, Division d, bool sums, bool elements) {
  const bool points = d.inner == 1;
  std::int64_t items = 0;  // for one thread if no unit were split
  if (points) {
    const std::int64_t columns = d.channels / V;
    d.width = 1;
    while (d.width < columns && d.width < kWarp && 2 * d.width * V <= kChannelTile) d.width *= 2;
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
  std::int64_t splits = std::min((wanted + d.units - 1) / d.units, (items + kLeastPacks - 1) / kLeastPacks);
  splits = std::max<std::int64_t>(splits, 1);
  const bool once = sums && elements && (splits == 1 || items <= 4 * kLeastPacks);
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
  for (const E* input : op.sum_inputs) aligned = aligned && is_aligned(input);
  if (kVector > 1 && aligned)
    normalize_with<kVector>(backend, op, division, sums, elements);
  else
    normalize_with<1>(backend, op, division, sums, elements);
}

}  // namespace mnemo::cuda
