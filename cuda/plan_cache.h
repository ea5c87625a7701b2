// Remembers what was chosen, so that a layer's second step does not ask the library again. The rankings themselves are
// not kept: the library holds about a megabyte for each.
#pragma once

#include <cstddef>
#include <memory>
#include <shared_mutex>
#include <unordered_map>

#include <mnemo/cuda/conv_planner.h>
#include <mnemo/cuda/plan_policy.h>

namespace mnemo::cuda {

class PlanCache {
 public:
  explicit PlanCache(std::shared_ptr<ConvPlanner> planner) : planner_(std::move(planner)) {}

  /// The choice among the planner's plans. The reference stays valid as long as the cache.
  const PlanChoice& choice(const ConvQuery& query, const PlanPolicy& policy);
  std::size_t size() const;

 private:
  struct Key {
    ConvQuery query;
    PlanPolicy policy;
    bool operator==(const Key&) const = default;
  };
  /// A key that is only looked at, so that a hit copies nothing.
  struct KeyView {
    const ConvQuery& query;
    const PlanPolicy& policy;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const KeyView& key) const;
    std::size_t operator()(const Key& key) const { return (*this)(KeyView{key.query, key.policy}); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Key& a, const Key& b) const { return a == b; }
    bool operator()(const KeyView& a, const Key& b) const { return a.query == b.query && a.policy == b.policy; }
    bool operator()(const Key& a, const KeyView& b) const { return (*this)(b, a); }
  };

  std::shared_ptr<ConvPlanner> planner_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<Key, PlanChoice, Hash, Equal> choices_;
};

}  // namespace mnemo::cuda
