// The memory of the reference allocator: regions cut into pieces, in plain vectors, every figure counted anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <mnemo/memory/ledger.h>

namespace mnemo::memory {

class ReferenceRegions {
 public:
  enum class State : std::uint8_t { free, live, waiting, unmapped };
  struct Piece {
    Bytes size = 0;
    State state = State::free;
    int id = 0;
    Bytes requested = 0;
    Category category = Category::other;
    bool oversize = false;
    std::vector<StreamId> uses;  // of a live piece: other streams; of a waiting one: those whose event is still pending
    std::int64_t since = 0;
  };
  struct Region {
    std::uint64_t position = 0;
    Bytes size = 0;
    StreamId stream = 0;
    bool small = false;
    Bytes page = 0;  // 0: a plain segment
    bool oversize = false;
    std::vector<Piece> pieces;
  };
  struct Figures {
    Bytes allocated = 0, reserved = 0, active = 0, requested = 0, inactive_split = 0;
    std::int64_t allocations = 0, actives = 0, inactive_splits = 0, segments = 0, oversize_blocks = 0,
                 oversize_segments = 0;
    CategoryBytes categories{};
    bool operator==(const Figures&) const = default;
  };

  Figures figures() const {
    Figures f;
    for (const Region& region : regions) {
      f.segments += region.page == 0;
      f.oversize_segments += region.oversize;
      for (const Piece& piece : region.pieces) {
        const bool live = piece.state == State::live;
        const bool active = live || piece.state == State::waiting;
        if (piece.state != State::unmapped) f.reserved += piece.size;
        if (live) {
          ++f.allocations;
          f.allocated += piece.size;
          f.oversize_blocks += piece.oversize;
          f.categories[static_cast<std::size_t>(piece.category)] += piece.size;
        }
        if (active) {
          ++f.actives;
          f.active += piece.size;
          f.requested += piece.requested;
        }
        if (piece.state == State::free && region.page == 0 && region.pieces.size() > 1) {
          ++f.inactive_splits;
          f.inactive_split += piece.size;
        }
      }
    }
    return f;
  }

  std::vector<Region> regions;        // in the order of their making, which is that of their positions
  std::int64_t searches[2] = {0, 0};  // of the large and of the small pool

 protected:
  struct Spot {
    std::size_t region = 0;
    std::size_t piece = 0;
  };

  Piece& at(Spot spot) { return regions[spot.region].pieces[spot.piece]; }

  static bool whole_and_free(const Region& region) {
    return region.page == 0 && region.pieces.size() == 1 && region.pieces[0].state == State::free;
  }

  Spot find(int id) const {
    for (std::size_t r = 0; r < regions.size(); ++r) {
      for (std::size_t p = 0; p < regions[r].pieces.size(); ++p) {
        const Piece& piece = regions[r].pieces[p];
        if (piece.id == id && (piece.state == State::live || piece.state == State::waiting)) return {r, p};
      }
    }
    std::abort();
  }

  /// Free pieces of a stream and pool, smallest first; equal ones by position, which is the order of the scan.
  std::vector<Spot> free_pieces(StreamId stream, bool small) {
    std::vector<Spot> spots;
    for (std::size_t r = 0; r < regions.size(); ++r) {
      if (regions[r].stream != stream || regions[r].small != small) continue;
      for (std::size_t p = 0; p < regions[r].pieces.size(); ++p) {
        if (regions[r].pieces[p].state == State::free) spots.push_back({r, p});
      }
    }
    std::stable_sort(spots.begin(), spots.end(), [&](Spot a, Spot b) { return at(a).size < at(b).size; });
    return spots;
  }

  void add(Region region) {
    region.position = next_position_;
    next_position_ += static_cast<std::uint64_t>(region.size);
    regions.push_back(region);
  }

  /// Makes the bytes from `begin` on (`size` of them) of a piece a piece of their own.
  void cut(Spot spot, Bytes begin, Bytes size) {
    std::vector<Piece>& pieces = regions[spot.region].pieces;
    const Piece whole = pieces[spot.piece];
    std::vector<Piece> parts;
    for (const Bytes bytes : {begin, size, whole.size - begin - size}) {
      if (bytes == 0) continue;
      parts.push_back(whole);
      parts.back().size = bytes;
      parts.back().since = searches[regions[spot.region].small];
    }
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(spot.piece));
    pieces.insert(pieces.begin() + static_cast<std::ptrdiff_t>(spot.piece), parts.begin(), parts.end());
  }

  /// Joins a free or unmapped piece with neighbours of the same state.
  Spot merge(Spot spot) {
    std::vector<Piece>& pieces = regions[spot.region].pieces;
    const State state = pieces[spot.piece].state;
    std::size_t first = spot.piece;
    std::size_t last = spot.piece;
    while (first > 0 && pieces[first - 1].state == state) --first;
    while (last + 1 < pieces.size() && pieces[last + 1].state == state) ++last;
    Piece joined;
    joined.state = state;
    joined.since = searches[regions[spot.region].small];
    for (std::size_t i = first; i <= last; ++i) joined.size += pieces[i].size;
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(first),
                 pieces.begin() + static_cast<std::ptrdiff_t>(last));
    pieces[first] = joined;
    return {spot.region, first};
  }

 private:
  std::uint64_t next_position_ = 0;
};

}  // namespace mnemo::memory
