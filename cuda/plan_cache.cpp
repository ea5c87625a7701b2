#include <mnemo/cuda/plan_cache.h>

#include <functional>
#include <mutex>

namespace mnemo::cuda {

std::size_t PlanCache::Hash::operator()(const KeyView& key) const {
  const PlanPolicy& policy = key.policy;
  std::size_t state = hash(key.query);
  state = state * 31 + static_cast<std::size_t>(policy.kind) * 2 + (policy.allow_tf32 ? 1 : 0);
  state = state * 31 + static_cast<std::size_t>(policy.limit);
  return policy.engine.empty() ? state : state * 31 + std::hash<std::string>()(policy.engine);
}

const PlanChoice& PlanCache::choice(const ConvQuery& query, const PlanPolicy& policy) {
  {
    const std::shared_lock lock(mutex_);
    const auto found = choices_.find(KeyView{query, policy});
    if (found != choices_.end()) return found->second;
  }
  // Two threads may ask for the same key at once; the library gives both the same answer.
  RankedPlans plans = planner_->rank(query);
  PlanChoice choice = choose(policy, query.problem.dtype, plans);
  const std::unique_lock lock(mutex_);
  return choices_.try_emplace(Key{query, policy}, std::move(choice)).first->second;
}

std::size_t PlanCache::size() const {
  const std::shared_lock lock(mutex_);
  return choices_.size();
}

}  // namespace mnemo::cuda
