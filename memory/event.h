// What happens to memory, one event at a time: the stream from which every report is made.
#pragma once

#include <cstdint>

#include <mnemo/memory/bytes.h>
#include <mnemo/memory/source.h>
#include <mnemo/memory/tag.h>

namespace mnemo::memory {

enum class EventKind : std::uint8_t {
  alloc,
  free_requested,  ///< the caller gave the block back: `allocated` falls
  free_completed,  ///< the block can be reused (its events have passed)
  retag,           ///< the same block is now held for another reason
  segment_alloc,   ///< also memory mapped into an expandable segment
  segment_free,    ///< also memory unmapped from one
  oom,
  marker,  ///< a named moment, such as the start of a phase
};

const char* name(EventKind kind);

/// One event, with the totals after it.
struct Event {
  EventKind kind = EventKind::marker;
  std::uint64_t position = 0;  ///< of the block or segment (Block::position)
  Bytes size = 0;              ///< the block's or the segment's; for `oom` the segment that was refused
  Bytes requested = 0;         ///< what the caller asked for; 0 for segments
  StreamId stream = 0;
  Tag tag;                            ///< for a marker, `tag.op` is its name
  Category before = Category::other;  ///< for `retag`: the category until now
  Bytes allocated = 0;
  Bytes reserved = 0;
};

}  // namespace mnemo::memory
