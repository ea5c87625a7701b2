// Which options of the allocator suit a program: its calls are made again under each configuration that is worth
// trying.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/config.h>

namespace mnemo::memory {

/// A configuration and what it did. Bytes are those of the allocator, without the device's context; capacities are with
/// it, as users know them.
struct TunedConfig {
  std::string text;  ///< what MNEMO_ALLOC_CONF would be; empty: the defaults
  AllocatorConfig config;
  bool recorded = false;  ///< the one with which the trace was recorded

  // On a device without a limit.
  Bytes peak_allocated = 0;
  Bytes peak_reserved = 0;
  Bytes allocated_at_peak = 0;    ///< when as much was reserved for the first time
  double fragmentation = 0;       ///< then: 1 - largest free block / all that is free
  std::int64_t device_calls = 0;  ///< memory obtained from the device or given back to it
  std::int64_t failures = 0;      ///< requests that not even such a device has room for
  Bytes unused() const { return peak_reserved - allocated_at_peak; }

  // On a device of TuningOptions::memory.
  struct Limited {
    bool fits = false;  ///< no request failed
    std::int64_t failures = 0;
    std::int64_t retries = 0;  ///< requests for which the device's streams were waited for and the cache was emptied
    std::int64_t device_calls = 0;
    Bytes peak_reserved = 0;
  };
  std::optional<Limited> limited;

  /// The smallest device on which no request fails, and neither on any larger one that was tried; none if there is
  /// none.
  std::optional<Bytes> smallest;
  bool smallest_exact = false;     ///< every size that could matter was tried
  std::optional<Bytes> also_fits;  ///< a smaller one on which none fails either, though on one in between
};

struct TuningOptions {
  Bytes memory = 0;   ///< of the device that the program shall fit on; 0: none in particular
  Bytes context = 0;  ///< of the device's memory, what is taken from the start
  std::function<void(const std::string& text)> progress = {};  ///< told of each configuration before its turn
};

struct Tuning {
  std::vector<TunedConfig> configs;  ///< the defaults first, then in the order of trying
  std::size_t best = 0;              ///< index of the one recommended
  std::string answer;                ///< why, in a few sentences

  const TunedConfig& defaults() const { return configs.front(); }
  const TunedConfig& recommended() const { return configs[best]; }
};

/// Compares configurations. Recommended is the one that fits on the device with the fewest retries and reserves least
/// at its peak; one within a hundredth of the least counts as equal, and of equal ones the defaults are best, then
/// fewer options, then fewer calls of the device. Throws FileError for a trace that cannot be replayed.
Tuning tune(const CallTrace& trace, const TuningOptions& options = {});

/// Configurations to try first, as texts, the defaults left out: those that can matter for the sizes in `trace`.
std::vector<std::string> single_options(const CallTrace& trace, Bytes memory);

/// The shortest text for divisions by power of two, from 1 MiB on.
std::string divisions_text(const std::array<int, 16>& divisions);

/// The smallest multiple of `step` in (`low`, `high`] from which on `runs` holds for every multiple that was tried up
/// to `high`, at which it must hold. At most `tries` are made; if that is enough for all multiples, all are. `runs`
/// need not be monotone.
struct Threshold {
  Bytes at = 0;
  bool exact = false;
  std::optional<Bytes> below;  ///< the smallest one that was found to hold below one that does not
};
Threshold find_threshold(Bytes low, Bytes high, Bytes step, std::int64_t tries, const std::function<bool(Bytes)>& runs);

}  // namespace mnemo::memory
