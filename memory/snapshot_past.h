// What was there before a snapshot's trace began: found by going back from the segments at its end, event by event.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include <mnemo/memory/snapshot_file.h>

namespace mnemo::memory {

/// Stretches of memory obtained from the device, by address. Those that touch are one where something spans them.
class SnapshotRanges {
 public:
  struct Range {
    Bytes size = 0;
    StreamId stream = 0;
    bool expandable = false;
  };

  /// False, without a change, when something is there already.
  bool add(std::uint64_t address, const Range& range);
  /// False, without a change, when not all of it is there.
  bool remove(std::uint64_t address, Bytes size);
  bool covers(std::uint64_t address, Bytes size) { return around(address, size) != ranges_.end(); }

  const std::map<std::uint64_t, Range>& all() const { return ranges_; }

 private:
  using Ranges = std::map<std::uint64_t, Range>;
  Ranges::iterator around(std::uint64_t address, Bytes size);

  Ranges ranges_;
};

struct SnapshotPast {
  struct Block {
    Bytes size = 0;  ///< 0: not known, for it was freed before the snapshot was taken
    Bytes requested = 0;
    StreamId stream = 0;
    bool waiting = false;
    Category category = Category::other;
    PlainId frames = PlainData::kNone;
  };

  SnapshotRanges segments;
  std::map<std::uint64_t, Block> blocks;
  /// The sizes of blocks that the snapshot shows, by the event that allocated them.
  std::unordered_map<std::size_t, Bytes> sizes;
  std::int64_t contradictions = 0;  ///< events about a block that cannot have been there

  /// Throws FileError, with `name` and the event, for segments that contradict the trace.
  SnapshotPast(const SnapshotFile& file, const std::string& name);

 private:
  void undo(const SnapshotEntry& entry, std::size_t index);
  void undo_alloc(const SnapshotEntry& entry, std::size_t index);
  void undo_free(const SnapshotEntry& entry);
  void drop_blocks(std::uint64_t address, Bytes size);
};

}  // namespace mnemo::memory
