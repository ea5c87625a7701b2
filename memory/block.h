// A block: a piece of a segment that the allocator hands out, splits and merges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include <mnemo/memory/bytes.h>
#include <mnemo/memory/source.h>
#include <mnemo/memory/tag.h>

namespace mnemo::memory {

struct Block;
struct Pool;
struct Segment;

/// A free block in the order of its pool. The numbers are copied, so that a search does not touch the blocks.
struct BlockKey {
  StreamId stream = 0;
  Bytes size = 0;  // 0 in the set of unmapped blocks, which is ordered by position alone
  std::uint64_t position = 0;
  Block* block = nullptr;

  bool operator<(const BlockKey& other) const {
    return std::tie(stream, size, position) < std::tie(other.stream, other.size, other.position);
  }
};

/// A contiguous piece of one segment. Owned by its CachingAllocator; a caller holds a pointer between `malloc` and
/// `free`.
struct Block {
  std::byte* data = nullptr;   ///< where it begins; not to be dereferenced on a virtual device
  Bytes size = 0;              ///< bytes that it occupies, at least `requested`
  Bytes requested = 0;         ///< bytes that the caller asked for
  std::uint64_t position = 0;  ///< address with segments laid end to end in the order of their making, or as the source
                               ///< places them: the same on every device
  StreamId stream = 0;  ///< the stream whose request created its segment
  Pool* pool = nullptr;
  Segment* segment = nullptr;
  Block* previous = nullptr;  ///< neighbour below in the segment
  Block* next = nullptr;      ///< neighbour above
  bool allocated = false;
  bool mapped = true;                  ///< false: address space of an expandable segment without memory behind it
  bool oversize = false;               ///< counted in oversize_allocations, while allocated
  int pending_events = 0;              ///< events of other streams that must pass before it can be reused
  std::vector<StreamId> stream_uses;   ///< other streams that used it since it was handed out
  std::int64_t free_since = 0;         ///< the pool's search count when it became free (garbage collection's age)
  std::set<BlockKey>::iterator place;  ///< in the pool's set, while it is free
  Tag tag;                             ///< why it is held, while allocated
};

}  // namespace mnemo::memory
