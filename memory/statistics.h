// Counters of one allocator, with the names and the meaning that users of caching allocators know.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mnemo::memory {

/// A counter with its history: `current = allocated - freed` since the start, `peak` since the last reset.
struct Stat {
  std::int64_t current = 0;
  std::int64_t peak = 0;
  std::int64_t allocated = 0;
  std::int64_t freed = 0;

  void increase(std::int64_t by) {
    current += by;
    peak = std::max(peak, current);
    allocated += by;
  }
  void decrease(std::int64_t by) {
    current -= by;
    freed += by;
  }
  void reset_peak() { peak = current; }
  void reset_accumulated() { allocated = freed = 0; }
};

/// The same counter for all blocks and for those of each pool.
struct PoolStat {
  Stat all;
  Stat small_pool;
  Stat large_pool;
};

/// All statistics of an allocator at one moment. Bytes unless the name says otherwise.
struct Statistics {
  PoolStat allocation;       ///< number of blocks handed out
  PoolStat segment;          ///< number of segments obtained (expandable ranges do not count)
  PoolStat active;           ///< number of blocks in use or waiting for events
  PoolStat inactive_split;   ///< number of free blocks that have a neighbour
  PoolStat allocated_bytes;  ///< sizes of blocks handed out (what `allocated` means)
  PoolStat reserved_bytes;   ///< obtained from the device (what `reserved` means)
  PoolStat active_bytes;
  PoolStat inactive_split_bytes;
  PoolStat requested_bytes;   ///< what callers asked for, before rounding
  Stat oversize_allocations;  ///< blocks of at least max_split_size
  Stat oversize_segments;
  std::int64_t num_alloc_retries = 0;
  std::int64_t num_ooms = 0;
  std::int64_t num_sync_all_streams = 0;
  std::int64_t num_device_alloc = 0;
  std::int64_t num_device_free = 0;

  void reset_peak();         ///< every peak becomes the current value
  void reset_accumulated();  ///< every `allocated` and `freed`, and the plain counters, become 0
};

}  // namespace mnemo::memory
