// Runs an allocation trace through the allocator on a virtual device.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include <mnemo/memory/config.h>
#include <mnemo/memory/statistics.h>

namespace mnemo::memory {

/// What a trace did to the allocator.
struct ReplayResult {
  Statistics statistics;
  struct Totals {
    Bytes allocated = 0;
    Bytes reserved = 0;
  };
  std::vector<Totals> events;  ///< after every line that is an operation
};

/// Replays `trace` (one operation per line: `alloc,ID,BYTES,STREAM`, `free,ID`, `record_stream,ID,STREAM`, `complete`,
/// `empty_cache`, `reset_peak`; `#` starts a comment) on a virtual device of `capacity` bytes (0: unlimited).
/// A failed alloc counts as an OOM; a later operation on its ID is ignored.
/// Throws FileError with `name`, line and reason for a malformed line.
ReplayResult replay(std::istream& trace, const std::string& name, const AllocatorConfig& config, Bytes capacity = 0);

}  // namespace mnemo::memory
