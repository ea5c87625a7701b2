// A second allocator, written from the rules and for nothing but clarity: plain vectors, linear scans, every figure
// counted anew. The random test compares the real one with it after every operation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <vector>

#include <mnemo/memory/config.h>

#include "memory/reference_regions.h"

namespace mnemo::memory {

class ReferenceAllocator : public ReferenceRegions {
 public:
  struct Event {
    StreamId stream = 0;
    bool done = false;
    int id = 0;
  };

  ReferenceAllocator(const AllocatorConfig& options, Bytes device_bytes) : config(options), capacity(device_bytes) {}

  /// False: out of memory.
  bool malloc(int id, Bytes bytes, StreamId stream, Category category) {
    if (bytes >= Bytes{1} << 60) {
      ++ooms;
      return false;
    }
    poll();
    const Bytes size = rounded(bytes);
    const bool small = size <= MiB;
    std::optional<Spot> spot = best_fit(size, stream, small);
    if (!spot) spot = from_device(size, stream, small);
    if (!spot) {
      ++ooms;
      return false;
    }
    Region& region = regions[spot->region];
    const Bytes rest = region.pieces[spot->piece].size - size;
    const bool split = small || config.expandable_segments ? rest >= 512 : size < config.max_split_size && rest > MiB;
    if (split) {
      Piece remainder;
      remainder.size = rest;
      remainder.since = searches[small];
      region.pieces.insert(region.pieces.begin() + static_cast<std::ptrdiff_t>(spot->piece) + 1, remainder);
      region.pieces[spot->piece].size = size;
    }
    Piece& piece = region.pieces[spot->piece];
    piece.state = State::live;
    piece.id = id;
    piece.requested = bytes;
    piece.category = category;
    piece.oversize = piece.size >= config.max_split_size;
    return true;
  }

  void free(int id) {
    const Spot spot = find(id);
    Piece& piece = regions[spot.region].pieces[spot.piece];
    piece.state = State::waiting;
    if (piece.uses.empty()) {
      settle(spot);
      return;
    }
    for (const StreamId stream : piece.uses) events.push_back({stream, false, id});
  }

  void record_stream(int id, StreamId stream) {
    const Spot spot = find(id);
    Piece& piece = regions[spot.region].pieces[spot.piece];
    if (stream == regions[spot.region].stream) return;
    if (std::count(piece.uses.begin(), piece.uses.end(), stream) == 0) piece.uses.push_back(stream);
  }

  void retag(int id, Category category) {
    const Spot spot = find(id);
    regions[spot.region].pieces[spot.piece].category = category;
  }

  /// What was recorded on the stream is done; the allocator notices at its next malloc.
  void complete(StreamId stream) {
    for (Event& event : events) event.done = event.done || event.stream == stream;
  }

  void empty_cache() {
    for (Event& event : events) event.done = true;
    poll();
    ++synchronizations;
    for (const bool small : {false, true}) {
      for (std::size_t r = regions.size(); r-- > 0;) {
        if (regions[r].small != small) continue;
        if (regions[r].page > 0) {
          shrink(r);
        } else if (whole_and_free(regions[r])) {
          release(r);
        }
      }
    }
  }

  AllocatorConfig config;
  Bytes capacity = 0;
  std::vector<Event> events;  // not yet noticed
  std::int64_t retries = 0, ooms = 0, synchronizations = 0, device_allocs = 0, device_frees = 0;

 private:
  Bytes rounded(Bytes bytes) const {
    if (bytes < 512) return 512;
    std::size_t entry = 0;
    while (entry < 15 && bytes >= (2 * MiB) << entry) ++entry;
    const Bytes divisions = config.roundup_power2_divisions[entry];
    Bytes step = 512;
    if (divisions > 1 && bytes > 512 * divisions) {
      Bytes power = 512;
      while (power * 2 <= bytes) power *= 2;
      if (power == bytes) return bytes;
      step = power / divisions;
    }
    Bytes result = bytes - bytes % step;
    if (result < bytes) result += step;
    return result;
  }

  Bytes segment_size(Bytes size) const {
    if (size <= MiB) return 2 * MiB;
    if (size < 10 * MiB) return config.large_segment_size;
    return (size + 2 * MiB - 1) / (2 * MiB) * (2 * MiB);
  }

  std::optional<Spot> best_fit(Bytes size, StreamId stream, bool small) {
    ++searches[small];
    std::vector<Spot> spots = free_pieces(stream, small);
    std::erase_if(spots, [&](Spot spot) { return at(spot).size < size; });
    if (spots.empty()) return std::nullopt;
    const auto expandable = [&](Spot spot) { return regions[spot.region].page > 0; };
    std::size_t chosen = 0;
    if (expandable(spots[0]) && config.expandable_segments) {
      const auto reach = [&](Spot spot) {
        const auto& pieces = regions[spot.region].pieces;
        const bool tail = spot.piece + 1 < pieces.size() && pieces[spot.piece + 1].state == State::unmapped;
        return at(spot).size + (tail ? pieces[spot.piece + 1].size : 0);
      };
      while (expandable(spots[chosen]) && chosen + 1 < spots.size() &&
             reach(spots[chosen + 1]) < reach(spots[chosen])) {
        ++chosen;
      }
    } else if (expandable(spots[0])) {
      while (chosen < spots.size() && expandable(spots[chosen])) ++chosen;
      if (chosen == spots.size()) return std::nullopt;
    }
    const Bytes found = at(spots[chosen]).size;
    if (size < config.max_split_size && found >= config.max_split_size) return std::nullopt;
    if (size >= config.max_split_size && found >= size + config.max_non_split_rounding) return std::nullopt;
    return spots[chosen];
  }

  std::optional<Spot> from_device(Bytes size, StreamId stream, bool small) {
    if (config.memory_fraction < 1 && config.garbage_collection_threshold > 0) collect_garbage();
    std::optional<Spot> spot = new_memory(size, stream, small);
    if (!spot && make_room(size, stream, small)) spot = new_memory(size, stream, small);
    if (!spot) {
      empty_cache();
      ++retries;
      spot = new_memory(size, stream, small);
      if (!spot) spot = best_fit(size, stream, small);
    }
    return spot;
  }

  std::optional<Spot> new_memory(Bytes size, StreamId stream, bool small) {
    const Bytes segment = segment_size(size);
    const Bytes reserved = figures().reserved;
    if (config.memory_fraction < 1 &&
        reserved + segment > static_cast<Bytes>(std::floor(config.memory_fraction * static_cast<double>(capacity)))) {
      return std::nullopt;
    }
    if (config.expandable_segments) return expand(size, stream, small);
    if (reserved + segment > capacity) return std::nullopt;
    ++device_allocs;
    Piece piece;
    piece.size = segment;
    add({0, segment, stream, small, 0, segment >= config.max_split_size, {piece}});
    return Spot{regions.size() - 1, 0};
  }

  std::optional<Spot> expand(Bytes size, StreamId stream, bool small) {
    const std::optional<Spot> room = room_for(size, stream, small);
    if (!room) return std::nullopt;
    Spot spot = *room;
    Region& region = regions[spot.region];
    // One unmapped piece after the other, until the piece at the front is large enough.
    for (;;) {
      Piece& front = region.pieces[spot.piece];
      const bool started = front.state == State::free;
      if (started && front.size >= size) return spot;
      const Spot target{spot.region, spot.piece + (started ? 1 : 0)};
      const Bytes missing = std::min(at(target).size, size - (started ? front.size : 0));
      const Bytes bytes = (missing + region.page - 1) / region.page * region.page;
      if (figures().reserved + bytes > capacity) return std::nullopt;
      ++device_allocs;
      cut(target, 0, bytes);
      at(target).state = State::free;
      spot = merge(target);
    }
  }

  std::optional<Spot> room_for(Bytes size, StreamId stream, bool small) {
    for (std::size_t r = 0; r < regions.size(); ++r) {
      const Region& region = regions[r];
      if (region.stream != stream || region.small != small) continue;
      for (std::size_t p = 0; p < region.pieces.size(); ++p) {
        if (region.pieces[p].state != State::unmapped) continue;
        const std::size_t start = p > 0 && region.pieces[p - 1].state == State::free ? p - 1 : p;
        Bytes room = 0;
        for (std::size_t i = start; i < region.pieces.size(); ++i) {
          if (region.pieces[i].state != State::free && region.pieces[i].state != State::unmapped) break;
          room += region.pieces[i].size;
        }
        if (room >= size) return Spot{r, start};
      }
    }
    const Bytes page = small ? 2 * MiB : config.large_segment_size;
    Piece piece;
    piece.size = (capacity + capacity / 8 + page - 1) / page * page;
    piece.state = State::unmapped;
    if (piece.size < size) return std::nullopt;
    add({0, piece.size, stream, small, page, false, {piece}});
    return Spot{regions.size() - 1, 0};
  }

  void settle(Spot spot) {
    at(spot).state = State::free;
    merge(spot);
  }

  void poll() {
    std::vector<StreamId> blocked;
    for (std::size_t i = 0; i < events.size();) {
      const Event event = events[i];
      const bool behind = std::count(blocked.begin(), blocked.end(), event.stream) > 0;
      if (behind || !event.done) {
        if (!behind) blocked.push_back(event.stream);
        ++i;
        continue;
      }
      events.erase(events.begin() + static_cast<std::ptrdiff_t>(i));
      const Spot spot = find(event.id);
      std::erase(at(spot).uses, event.stream);
      if (at(spot).uses.empty()) settle(spot);
    }
  }

  void release(std::size_t region) {
    regions.erase(regions.begin() + static_cast<std::ptrdiff_t>(region));
    ++device_frees;
  }

  /// Unmaps the pages that lie wholly in free pieces of a range; a range that loses its last page goes.
  void shrink(std::size_t region) {
    const Bytes page = regions[region].page;
    std::vector<Piece> pieces;
    const auto add_piece = [&](Piece piece, Bytes size, State state) {
      if (size == 0) return;
      piece.size = size;
      piece.state = state;
      piece.since = searches[regions[region].small];
      pieces.push_back(piece);
    };
    Bytes offset = 0;
    const std::int64_t frees_before = device_frees;
    for (const Piece& piece : regions[region].pieces) {
      const Bytes end_of_piece = offset + piece.size;
      const Bytes begin = (offset + page - 1) / page * page;
      const Bytes end = end_of_piece / page * page;
      if (piece.state == State::free && begin < end) {
        add_piece(piece, begin - offset, State::free);
        add_piece(piece, end - begin, State::unmapped);
        add_piece(piece, end_of_piece - end, State::free);
        ++device_frees;
      } else {
        pieces.push_back(piece);
      }
      offset = end_of_piece;
    }
    if (device_frees == frees_before) return;
    regions[region].pieces = pieces;
    for (std::size_t p = 0; p < regions[region].pieces.size(); ++p) {
      if (regions[region].pieces[p].state == State::unmapped) p = merge({region, p}).piece;
    }
    if (regions[region].pieces.size() == 1 && regions[region].pieces[0].state == State::unmapped) {
      regions.erase(regions.begin() + static_cast<std::ptrdiff_t>(region));
    }
  }

  bool make_room(Bytes size, StreamId stream, bool small) {
    if (config.max_split_size == AllocatorConfig::kUnlimited) return false;
    const Bytes wanted = std::max(size, config.max_split_size);
    std::vector<Spot> spots = free_pieces(stream, small);
    std::erase_if(spots, [&](Spot spot) { return !whole_and_free(regions[spot.region]); });
    for (const Spot spot : spots) {
      if (at(spot).size < wanted) continue;
      release(spot.region);
      return true;
    }
    Bytes released = 0;
    std::vector<std::uint64_t> doomed;
    for (std::size_t i = spots.size(); i-- > 0 && released < wanted && at(spots[i]).size >= config.max_split_size;) {
      released += at(spots[i]).size;
      doomed.push_back(regions[spots[i].region].position);
    }
    for (const std::uint64_t position : doomed) release_at(position);
    return released >= wanted;
  }

  void release_at(std::uint64_t position) {
    for (std::size_t r = 0; r < regions.size(); ++r) {
      if (regions[r].position != position) continue;
      release(r);
      return;
    }
  }

  void collect_garbage() {
    const double allowed = std::floor(config.memory_fraction * static_cast<double>(capacity));
    const double limit =
        std::floor(config.garbage_collection_threshold * allowed);  // whole bytes, whatever the compiler fuses
    const double excess = static_cast<double>(figures().reserved) - limit;
    if (excess <= 0) return;
    struct Unused {
      std::uint64_t position;
      Bytes size;
      std::int64_t age;
      bool expandable;
    };
    std::vector<Unused> unused;
    for (const Region& region : regions) {
      if (!region.small && region.pieces.size() == 1 && region.pieces[0].state == State::free) {
        unused.push_back({region.position, region.size, searches[0] - region.pieces[0].since, region.page > 0});
      }
    }
    double reclaimed = 0;
    bool progress = true;
    while (!unused.empty() && progress && reclaimed < excess) {
      double mean = 0;
      for (const Unused& u : unused) mean += static_cast<double>(u.age);
      mean /= static_cast<double>(unused.size());
      progress = false;
      std::vector<Unused> kept;
      for (const Unused& u : unused) {
        if (u.expandable || static_cast<double>(u.age) < mean) {
          kept.push_back(u);
          continue;
        }
        release_at(u.position);
        reclaimed += static_cast<double>(u.size);
        progress = true;
      }
      unused = kept;
    }
  }
};

}  // namespace mnemo::memory
