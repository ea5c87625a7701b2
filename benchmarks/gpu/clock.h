// Wall-clock times of work that a device does later: many runs are queued, and waited for once.
#pragma once

#include <functional>

#include <mnemo/core/device.h>

namespace mnemo::bench {

/// Seconds of one run; of several repeats.
struct Times {
  double median = 0;
  double least = 0;
  double queued = 0;  ///< median time until the host was done, before it waited for the device
  int runs = 0;       ///< in each repeat
  int repeats = 0;
};

struct ClockOptions {
  double least_seconds = 0.02;  ///< of each repeat
  int repeats = 9;
  int most_runs = 10000;  ///< queued before the device is waited for
};

/// Runs `work` a few times unmeasured, so that libraries are loaded and memory is cached; then `repeats` times as often
/// as fills `least_seconds`.
Times measure(const Device& device, const ClockOptions& options, const std::function<void()>& work);

}  // namespace mnemo::bench
