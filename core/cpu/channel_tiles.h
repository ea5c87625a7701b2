// How the CPU walks the channels of (batch, channels, inner): tiles that one thread works on, as runs of neighbours
// over lanes, which the compiler turns into vectors. Everything depends on the sizes alone, never on the threads.
// Private.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>

#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

inline constexpr std::int64_t kLanes = 32;

/// One channel whose elements are planes, or up to kLanes neighbouring channels whose elements are points: element i of
/// a run belongs to lane i % kLanes, and lane l to channel first + l % width.
struct ChannelTile {
  std::int64_t first = 0, width = 1;                       ///< channels
  std::int64_t runs = 0, step = 0, start = 0, length = 0;  ///< run r begins at element start + r * step

  /// Calls body(lane, place) for every element.
  template <class Body>
  void visit(const Body& body) const {
    for (std::int64_t r = 0; r < runs; ++r) {
      const std::int64_t begin = start + r * step;
      std::int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane) body(lane, begin + i + lane);
      }
      for (std::int64_t lane = 0; i + lane < length; ++lane) body(lane, begin + i + lane);
    }
  }
  /// For each channel its lanes joined, which is their sum unless told otherwise: sums[c] of channel first + c.
  template <class T, class Join = std::plus<T>>
  void fold(T (&lanes)[kLanes], T (&sums)[kLanes], const Join& join = {}) const {
    if (width == 1) {  // in halves: one after the other would wait for each addition
      const auto used = static_cast<std::uint64_t>(std::clamp<std::int64_t>(length, 1, kLanes));
      for (auto half = static_cast<std::int64_t>(std::bit_ceil(used) / 2); half > 0; half /= 2) {
        for (std::int64_t lane = 0; lane < half; ++lane) lanes[lane] = join(lanes[lane], lanes[lane + half]);
      }
      sums[0] = lanes[0];
      return;
    }
    std::copy(lanes, lanes + width, sums);
    for (std::int64_t begin = width; begin < kLanes; begin += width) {
      for (std::int64_t c = 0; c < width && begin + c < kLanes; ++c) sums[c] = join(sums[c], lanes[begin + c]);
    }
  }
  /// What the channels have in values[0], ..., for every lane.
  template <class T>
  void spread(T (&values)[kLanes]) const {
    if (width == 1) {
      std::fill(values + 1, values + std::clamp<std::int64_t>(length, 1, kLanes), values[0]);
      return;
    }
    for (std::int64_t lane = width; lane < kLanes; ++lane) values[lane] = values[lane - width];
  }
};

/// Calls body(tile) for all channels, on several threads.
template <class Body>
void for_each_tile(std::int64_t batch, std::int64_t channels, std::int64_t inner, const Body& body) {
  const bool points = inner == 1, packed = points && channels > 0 && kLanes % channels == 0;
  const std::int64_t width = points ? std::min(kLanes, channels) : 1;
  const std::int64_t tiles = width > 0 ? (channels + width - 1) / width : 0;
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, batch * inner * width));
  parallel_for(tiles, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      ChannelTile tile{.first = t * width, .width = std::min(width, channels - t * width)};
      tile.runs = batch, tile.step = channels * inner, tile.start = tile.first * inner;
      tile.length = points ? tile.width : inner;
      if (packed) tile.runs = 1, tile.length = batch * channels;
      body(tile);
    }
  });
}

/// One number per channel of whatever floating dtype.
inline FloatingElements channel_values(const Array& array) {
  return {array.storage()->data() + array.layout().offset * size_of(array.dtype()), array.dtype()};
}
inline double channel_value(const Array& array, std::int64_t channel, double otherwise) {
  return array.defined() ? channel_values(array)[channel] : otherwise;
}
inline void set_channel_value(const Array& array, std::int64_t channel, double value) {
  if (array.defined()) channel_values(array).set(channel, value);
}

}  // namespace mnemo::cpu
