// Lines of (outer, size, inner) along the middle, as the CPU walks them, and what exponentials need of them. Private.
#pragma once

#include <limits>

#include <mnemo/core/cpu/channel_tiles.h>
#include <mnemo/core/elementary.h>

namespace mnemo::cpu {

/// One line whose elements are neighbours, or up to kLanes lines, each of which is a lane: side by side, or behind each
/// other where few are side by side or lines are too short to be worked on alone. Lines are numbered as in (outer,
/// inner).
struct LineTile : ChannelTile {
  std::int64_t apart = 1;    ///< elements from line to line of the tile
  std::int64_t between = 1;  ///< the same of their numbers

  std::int64_t line(std::int64_t lane) const { return first + lane * between; }
  /// Calls body(lane, place) for every element.
  template <class Body>
  void visit(const Body& body) const {
    if (apart == 1) return ChannelTile::visit(body);
    for (std::int64_t begin = start; begin < start + runs * step; begin += step) {
      for (std::int64_t lane = 0; lane < width; ++lane) body(lane, begin + lane * apart);
    }
  }
};

/// Calls body(tile) for all lines, on several threads. `alone`: each line is a tile; REQUIRES: inner is 1.
template <class Body>
void for_each_line_tile(std::int64_t outer, std::int64_t size, std::int64_t inner, bool alone, const Body& body) {
  alone = alone || (inner == 1 && size >= kLanes);
  const bool behind = !alone && inner < kLanes && outer > inner;
  const std::int64_t lines = alone ? 1 : behind ? outer : inner;  // of which each tile takes a part
  const std::int64_t groups = behind ? inner : outer, width = std::min(kLanes, lines);
  const std::int64_t tiles = width > 0 ? (lines + width - 1) / width : 0;
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, size * width));
  parallel_for(groups * tiles, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t group = t / tiles, from = t % tiles * width;
      const std::int64_t row = behind ? from : group, column = behind ? group : from;
      LineTile tile;
      tile.first = row * inner + column, tile.start = row * size * inner + column;
      tile.width = std::min(width, lines - from);
      tile.runs = size, tile.step = inner, tile.length = tile.width;
      if (behind) tile.apart = size * inner, tile.between = inner;
      if (alone) tile.runs = 1, tile.length = size;
      body(tile);
    }
  });
}

/// For every lane the largest element of its line; NaNs do not count.
template <class E, class T>
void find_tops(const LineTile& tile, const E* x, T (&tops)[kLanes]) {
  T lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<T>::infinity());
  const auto larger = [](T a, T b) { return a < b ? b : a; };
  tile.visit([&](std::int64_t lane, std::int64_t i) { lanes[lane] = larger(lanes[lane], cast<T>(x[i])); });
  tile.fold(lanes, tops, larger);
  tile.spread(tops);
}

/// For every line the sum of term(lane, place) over its elements.
template <class Tile, class Term>
void sum_lines(const Tile& tile, double (&sums)[kLanes], const Term& term) {
  double lanes[kLanes] = {};
  tile.visit([&](std::int64_t lane, std::int64_t i) { lanes[lane] += static_cast<double>(term(lane, i)); });
  tile.fold(lanes, sums);
}

}  // namespace mnemo::cpu
