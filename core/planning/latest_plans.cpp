#include <mnemo/core/planning/latest_plans.h>

#include <algorithm>

namespace mnemo {

ConvPlan LatestPlans::plan(const Decisions& decisions, const ConvProblem& problem, ConvPass pass,
                           const ConvPolicy& policy) {
  std::atomic<const RememberedPlan*>& latest = latest_[static_cast<std::size_t>(pass)];
  const RememberedPlan* known = latest.load(std::memory_order_acquire);
  if (known != nullptr && known->decisions == &decisions && known->query.problem == problem && known->policy == policy)
    return known->plan;
  known = decisions.remembered(problem, pass, policy);
  if (known == nullptr) return decisions.conv(problem, pass, policy);
  keep_alive(decisions);
  latest.store(known, std::memory_order_release);
  return known->plan;
}

/// Another thread may be looking at a plan of earlier decisions, so those stay: a layer sees few devices in its life.
void LatestPlans::keep_alive(const Decisions& decisions) {
  const std::lock_guard lock(mutex_);
  const bool known = std::ranges::any_of(asked_, [&](const auto& asked) { return asked.get() == &decisions; });
  if (!known) asked_.push_back(decisions.shared_from_this());
}

}  // namespace mnemo
