// A memory snapshot as PyTorch writes it (`torch.cuda.memory._dump_snapshot`), read from its file: one device's
// segments and the trace of what led to them. It says what the file says, and whether that makes sense is for its
// readers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <mnemo/memory/config.h>
#include <mnemo/memory/plain_data.h>
#include <mnemo/memory/source.h>
#include <mnemo/memory/tag.h>

namespace mnemo::memory {

/// A block in use; `frames` say where it was allocated.
struct SnapshotBlock {
  std::uint64_t address = 0;
  Bytes size = 0;
  Bytes requested = 0;
  bool waiting = false;  ///< freed, but not yet to be reused
  PlainId frames = PlainData::kNone;
};

struct SnapshotSegment {
  std::uint64_t address = 0;
  Bytes size = 0;
  StreamId stream = 0;
  bool expandable = false;
  std::vector<SnapshotBlock> blocks;  ///< by address; what is not in use lies between them
};

/// One event of the trace.
struct SnapshotEntry {
  enum class Action : std::uint8_t {
    alloc,
    free_requested,
    free_completed,
    segment_alloc,
    segment_free,
    segment_map,
    segment_unmap,
    oom,
    snapshot,
    other,  ///< of no consequence for memory
  };
  Action action = Action::other;
  Category category = Category::other;
  std::uint64_t address = 0;
  Bytes size = 0;          ///< what was asked for, of blocks; of the segment
  Bytes device_free = -1;  ///< of an oom: what the device had left; below 0 where the file does not say it
  StreamId stream = 0;
  std::int64_t time = 0;  ///< microseconds
  PlainId frames = PlainData::kNone;
  PlainId pool = PlainData::kNone;  ///< as it stands in the file
};

const char* name(SnapshotEntry::Action action);

struct SnapshotFile {
  PlainData data;
  std::size_t device_index = 0;
  std::vector<SnapshotSegment> segments;  ///< by address
  std::vector<SnapshotEntry> trace;
  AllocatorConfig config;
  std::vector<std::string> unknown_options;  ///< of the allocator, which mnemo's has not
  bool timed = false;                        ///< times are microseconds, and there are any
  std::string device;                        ///< its name, if the file says it
  std::size_t private_pools = 0;             ///< streams below 0 are theirs (SnapshotPools)
  std::size_t traced_devices = 0;            ///< how many have events
  Bytes capacity = 0;                        ///< of the device, if the file says it
  bool own = false;                          ///< written by mnemo: frames are op and module, phase and step

  /// The value of `dictionary` under `key`; kNone when it has none. Throws FileError for a dictionary that no snapshot
  /// has. REQUIRES: a dictionary
  static PlainId find(const PlainData& data, PlainId dictionary, std::string_view key);
};

/// Reads `bytes`, a pickle of protocol 2 to 4 or JSON. `device_index` chooses among the devices that were traced; below
/// 0 it is the one with most events. Throws FileError with `name` and the place for what is no snapshot or whose parts
/// are not of the kind that they should be, and ConfigError for a device that is not there.
SnapshotFile read_snapshot(std::string bytes, const std::string& name, int device_index);

}  // namespace mnemo::memory
