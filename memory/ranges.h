// Named stretches of a thread's time, for profilers that draw timelines: every step, phase and module that the tag's
// scopes name. Nobody listens unless a sink is set.
#pragma once

#include <atomic>

namespace mnemo::memory {

/// Ranges of a thread are nested: `end` closes the one that was begun last.
class RangeSink {
 public:
  virtual ~RangeSink() = default;
  virtual void begin(const char* text) noexcept = 0;
  virtual void end() noexcept = 0;
};

/// Who is told, or null. Set once, before the ranges of interest, and as long as the process.
inline std::atomic<RangeSink*> range_sink{nullptr};

}  // namespace mnemo::memory
