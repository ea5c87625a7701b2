// LatestPlans: what one layer's convolutions did last time. A layer whose shapes do not change finds its plans here by
// comparing numbers, where the device would have to search all that it ever decided, under a lock.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <mnemo/core/decisions.h>

namespace mnemo {

/// One plan for each pass. Any number of threads may ask at once: what differs from the last time is only asked of the
/// device, as it would be without this.
class LatestPlans : public std::enable_shared_from_this<LatestPlans> {
 public:
  LatestPlans() = default;
  LatestPlans(const LatestPlans&) = delete;
  LatestPlans& operator=(const LatestPlans&) = delete;

  /// decisions.conv(problem, pass, policy).
  ConvPlan plan(const Decisions& decisions, const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy);

 private:
  void keep_alive(const Decisions& decisions);

  std::array<std::atomic<const RememberedPlan*>, 3> latest_{};  ///< by pass; null at first
  std::mutex mutex_;
  std::vector<std::shared_ptr<const Decisions>> asked_;  ///< whose plans may be in `latest_`, or still looked at
};

}  // namespace mnemo
