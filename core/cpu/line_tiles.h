// Lines of (outer, size, inner) along the middle, as the CPU walks them: one whose elements are neighbours, or up to
// kLanes that lie side by side. What exponentials need of them. Private.
#pragma once

#include <limits>

#include <mnemo/core/cpu/channel_tiles.h>
#include <mnemo/core/elementary.h>

namespace mnemo::cpu {

/// Calls body(tile) for all lines, on several threads; a tile's channels are lines, numbered as in (outer, inner).
template <class Body>
void for_each_line_tile(std::int64_t outer, std::int64_t size, std::int64_t inner, const Body& body) {
  const std::int64_t width = std::min(kLanes, inner), tiles = width > 0 ? (inner + width - 1) / width : 0;
  const std::int64_t grain = std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, size * width));
  parallel_for(outer * tiles, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = t / tiles, column = t % tiles * width;
      ChannelTile tile{.first = row * inner + column, .width = std::min(width, inner - column)};
      tile.start = row * size * inner + column;
      if (inner == 1) {
        tile.runs = 1, tile.length = size;
      } else {
        tile.runs = size, tile.step = inner, tile.length = tile.width;
      }
      body(tile);
    }
  });
}

/// For every lane the largest element of its line; NaNs do not count.
template <class E, class T>
void find_tops(const ChannelTile& tile, const E* x, T (&tops)[kLanes]) {
  T lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<T>::infinity());
  const auto larger = [](T a, T b) { return a < b ? b : a; };
  tile.visit([&](std::int64_t lane, std::int64_t i) { lanes[lane] = larger(lanes[lane], cast<T>(x[i])); });
  tile.fold(lanes, tops, larger);
  tile.spread(tops);
}

/// For every line the sum of term(lane, place) over its elements.
template <class Term>
void sum_lines(const ChannelTile& tile, double (&sums)[kLanes], const Term& term) {
  double lanes[kLanes] = {};
  tile.visit([&](std::int64_t lane, std::int64_t i) { lanes[lane] += static_cast<double>(term(lane, i)); });
  tile.fold(lanes, sums);
}

}  // namespace mnemo::cpu
