// The state of memory at one event of a recording: segments, blocks and why each is held, with the sums of the ledger.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <mnemo/memory/event.h>
#include <mnemo/memory/ledger.h>

namespace mnemo::memory {

/// A block that is held, or that waits for other streams after its free was requested.
struct LiveBlock {
  Bytes size = 0;
  Bytes requested = 0;
  StreamId stream = 0;
  Tag tag;
  std::int64_t since = -1;  ///< the event that allocated it; -1: before the recording began
  bool waiting = false;     ///< freed, but not yet to be reused: not part of `allocated`
};

/// A stretch of memory obtained from the device.
struct LiveSegment {
  Bytes size = 0;
  StreamId stream = 0;
};

/// Follows events. It trusts none of them: what an allocator cannot have done is refused.
class LiveState {
 public:
  /// Applies `event`, the `index`th, and fills in what its code left out: of a free or a retag the block's fields, and
  /// the totals after it. Throws FileError, without a file name, when the event contradicts the state; the state is
  /// then of no further use.
  void apply(Event& event, std::int64_t index);

  Bytes allocated() const { return allocated_; }
  Bytes reserved() const { return reserved_; }
  /// They add up to `allocated()`.
  const CategoryBytes& categories() const { return categories_; }

  /// By position (Block::position).
  const std::map<std::uint64_t, LiveBlock>& blocks() const { return blocks_; }
  /// By position. Pieces that were mapped one by one into an address range are one segment from the moment at which a
  /// block or an unmapping spans them.
  const std::map<std::uint64_t, LiveSegment>& segments() const { return segments_; }

  /// Whether segments were seen to grow together or to shrink, as only those of expandable ranges do.
  bool expandable() const { return expandable_; }

  /// Events that lead from nothing to this state: segments, then blocks.
  std::vector<Event> events() const;

 private:
  using Segments = std::map<std::uint64_t, LiveSegment>;

  void allocate(const Event& event, std::int64_t index);
  void add_segment(const Event& event);
  void remove_segment(const Event& event);
  Segments::iterator segment_around(std::uint64_t position, Bytes size);
  bool block_within(std::uint64_t position, Bytes size) const;
  LiveBlock& block_of(const Event& event, bool waiting);

  Bytes allocated_ = 0;
  Bytes reserved_ = 0;
  CategoryBytes categories_{};
  std::map<std::uint64_t, LiveBlock> blocks_;
  Segments segments_;
  bool expandable_ = false;
};

}  // namespace mnemo::memory
