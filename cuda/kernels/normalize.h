// What both directions of batch normalization share: two sums for each channel of (batch, channels, inner), two numbers
// that follow from them, and a pass over the elements that takes these. One kernel does one half or both. An operation
// may want the sums alone (kElements is false), and they may depend on the image and row of channels that an element is
// in (kOfImages); these are read once for a pack. Private.
#pragma once

#include <algorithm>
#include <limits>

#include <mnemo/cuda/kernels/normalize_planes.h>
#include <mnemo/cuda/kernels/normalize_points.h>

namespace mnemo::cuda {

/// Blocks for each unit, with which the last block of all ends first, at most `most`. The device runs `at_once` of
/// them; a thread of an undivided unit has `items` packs.
inline int splits_of(std::int64_t units, std::int64_t items, std::int64_t at_once, std::int64_t most) {
  constexpr std::int64_t kMostRounds = 8;
  constexpr std::int64_t kLeastPacks = 4;  // for each thread: below there is no use in more blocks
  constexpr std::int64_t kBlock = 8;       // a block's beginning and end take as long as that many packs
  constexpr std::int64_t kUneven = 16;     // of its work a block may be late with one part of so many
  most = std::max<std::int64_t>(1, std::min(most, (items + kLeastPacks - 1) / kLeastPacks));
  std::int64_t best = 1, least = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t rounds = 1; rounds <= kMostRounds; ++rounds) {
    const std::int64_t splits = std::clamp<std::int64_t>(rounds * at_once / units, 1, most);
    const std::int64_t packs = (items + splits - 1) / splits, taken = (units * splits + at_once - 1) / at_once;
    const std::int64_t time = taken * (packs + kBlock) + packs / kUneven;
    if (time < least) least = time, best = splits;
  }
  return static_cast<int>(best);
}

/// Groups in which so many splits are joined, and groups of groups.
inline int groups_of(int splits) {
  int groups = 0;
  while (splits > 1) groups += splits = (splits + kJoined - 1) / kJoined;
  return groups;
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
  const int blocks_each = points ? kPointBlocks<V> : kPlaneBlocks<V>;
  constexpr std::int64_t kFewPacks = 16;  // reading them twice is faster than another launch
  std::int64_t most = kMostPartials / d.channels * (kJoined - 1) / kJoined - 3;  // their groups leave sums too
  if (sums && elements && items <= kFewPacks) most = 1;
  if (d.channels > kMostNumbers) most = 1;
  d.splits = splits_of(d.units, items, std::int64_t{blocks_each} * backend.multiprocessors(), most);
  d.groups = points ? groups_of(d.splits) : 1;
  if (d.units * d.groups > Scratch::kCounters) d.splits = 1;
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
  bool aligned = (division.inner == 1 ? division.channels : division.inner) % kVector == 0;
  for (const E* input : op.sum_inputs) aligned = aligned && is_aligned(input);
  if constexpr (Op::kOfImages) aligned = aligned && (division.inner > 1 || op.channels_of_row % kVector == 0);
  if constexpr (Op::kElements) {
    aligned = aligned && is_aligned(op.output);
    for (const E* input : op.inputs) aligned = aligned && is_aligned(input);
  }
  if (kVector > 1 && aligned)
    normalize_with<kVector>(backend, op, division, sums, elements);
  else
    normalize_with<1>(backend, op, division, sums, elements);
}

}  // namespace mnemo::cuda
