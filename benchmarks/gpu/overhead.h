// What work costs besides its arithmetic: the allocator, an operation's launch, and a step of a small net.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mnemo/core/device.h>
#include <mnemo/memory/bytes.h>

#include "clock.h"

namespace mnemo::bench {

/// Of one operation: until the host goes on, and until the device is done, where many are queued one after another.
struct Overhead {
  std::string name;
  double host_seconds = 0;
  double seconds = 0;
};

/// malloc and free of a block that the cache has, by size.
struct CacheHit {
  memory::Bytes bytes = 0;
  double seconds = 0;
};

/// A training step, done operation by operation and as one recording (autograd/step_graph.h).
struct StepTimes {
  std::string net;
  std::int64_t batch = 0;
  Times eager, graph;
  bool is_recorded = false;  ///< false where the device cannot record: then the second is a plain step too
};

std::vector<CacheHit> cache_hits(const Device& device, const ClockOptions& options);
std::vector<Overhead> overheads(const Device& device, const ClockOptions& options);
std::vector<StepTimes> step_times(const Device& device, const ClockOptions& options);

}  // namespace mnemo::bench
