// Runs calls of an allocator again, on a virtual device: what they would have done under other options.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/config.h>
#include <mnemo/memory/statistics.h>

namespace mnemo::memory {

/// By what an allocator chooses among free blocks of equal size: the age of their segments, as mnemo's does and
/// PyTorch's 2.15, or their addresses, as PyTorch's 2.11.
enum class Ties { age, address };

struct ReplayOptions {
  AllocatorConfig config = {};
  Bytes capacity = 0;          ///< of the device; 0: unlimited
  Bytes context = 0;           ///< of it, what is taken from the start
  bool rebuild_cache = false;  ///< a trace from the middle begins with its segments as they were, not with blocks alone
  bool totals = false;         ///< fill in ReplayResult::events
  bool stop_when_full = false;  ///< at the first request that fails
  Ties ties = Ties::age;  ///< by address: segments lie where the trace has them, for as long as the same are obtained
  std::size_t calls = static_cast<std::size_t>(-1);  ///< that many calls at most
  std::string record = {};                           ///< a file for a recording of it, tags included; none if empty
};

/// What a trace did to the allocator.
struct ReplayResult {
  using Totals = CallTrace::Totals;

  Statistics statistics;       ///< at the end
  Totals before;               ///< what is there before the first call
  std::vector<Totals> events;  ///< after each call, if that was wanted

  // Over all calls, a trace's own resets notwithstanding.
  Bytes peak_allocated = 0;
  Bytes peak_reserved = 0;
  Bytes allocated_at_peak = 0;    ///< right after the call that reserved the most for the first time
  std::size_t calls_to_peak = 0;  ///< that call included; 0: before the first

  // Free memory at the end.
  Bytes cached = 0;
  Bytes largest_cached = 0;
  /// 1 - largest free block / all of what is free, as in an OutOfMemory; 0 when nothing is.
  double fragmentation() const {
    return cached == 0 ? 0 : 1 - static_cast<double>(largest_cached) / static_cast<double>(cached);
  }
};

/// Makes the calls again. A malloc that fails counts as an OOM; what follows on its block is ignored.
/// Throws FileError with the trace's name and line for a call that nobody can make (a second free), and for a recording
/// that cannot be written.
ReplayResult replay(const CallTrace& trace, const ReplayOptions& options);

/// By which rule the allocator that made the trace chose, as far as that shows: address if the totals of a replay under
/// the trace's own options are then for longer, or always, those that were recorded.
Ties ties_of(const CallTrace& trace);

/// Reads a trace of text (see read_calls) and replays it on a virtual device of `capacity` bytes (0: unlimited), with
/// the totals after every operation.
ReplayResult replay(std::istream& trace, const std::string& name, const AllocatorConfig& config, Bytes capacity = 0);

}  // namespace mnemo::memory
