// Decisions that remember as a card's do, and count how often they are asked.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include <mnemo/core/backend.h>
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/decisions.h>

/// Plans are mnemo's own, so that the CPU can run them.
class CountingDecisions final : public mnemo::Decisions {
 public:
  mnemo::ConvPlan conv(const mnemo::ConvProblem& problem, mnemo::ConvPass pass,
                       const mnemo::ConvPolicy& policy) const override {
    return remembered(problem, pass, policy)->plan;
  }
  const mnemo::RememberedPlan* remembered(const mnemo::ConvProblem& problem, mnemo::ConvPass pass,
                                          const mnemo::ConvPolicy& policy) const override {
    ++asked_;
    const mnemo::ConvQuery query{problem, pass, conv_layout(problem.dtype, policy)};
    const std::lock_guard lock(mutex_);
    for (const mnemo::RememberedPlan& known : plans_) {
      if (known.query == query && known.policy == policy) return &known;
    }
    return &plans_.emplace_back(*this, query, policy, mnemo::own_plan(problem, policy));
  }
  mnemo::RankedPlans plans(const mnemo::ConvProblem& problem, mnemo::ConvPass,
                           const mnemo::ConvPolicy&) const override {
    return mnemo::own_plans(problem);
  }
  std::string source() const override { return "a test"; }

  /// Since the last time this was called.
  int asked() const { return asked_.exchange(0); }

 private:
  mutable std::atomic<int> asked_{0};
  mutable std::mutex mutex_;
  mutable std::deque<mnemo::RememberedPlan> plans_;
};

/// A CPU that takes its decisions there.
inline mnemo::Device device_with(std::shared_ptr<const mnemo::Decisions> decisions) {
  using namespace mnemo;
  return Device(std::make_shared<cpu::CpuBackend>("counting", memory::make_host_source(0), memory::AllocatorConfig(),
                                                  std::move(decisions)));
}
