#include <mnemo/core/planning/plan_choice.h>

#include <array>
#include <limits>

#include <fmt/format.h>

namespace mnemo {

namespace {

using Choice = ConvPolicy::Choice;

bool rounds_to_tf32(const EnginePlan& plan, DType dtype) {
  return dtype == DType::float32 &&
         (plan.notes.has(NumericalNote::tensor_core) || plan.notes.has(NumericalNote::down_convert_inputs));
}

/// Whether the engine may be used at all, whatever its workspace.
bool admits(const ConvPolicy& policy, DType dtype, const EnginePlan& plan) {
  if (rounds_to_tf32(plan, dtype) && !policy.allow_tf32 && policy.choice != Choice::pytorch) return false;
  if (policy.choice == Choice::automatic || policy.choice == Choice::deterministic) {
    return !plan.notes.has(NumericalNote::nondeterministic);
  }
  if (policy.choice == Choice::engine) {
    return plan.engine == policy.engine || plan.engine.starts_with(policy.engine + "_");
  }
  return true;
}

}  // namespace

bool is_admitted(const ConvPolicy& policy, DType dtype, const EnginePlan& plan) {
  return plan.state == EnginePlan::State::ready && plan.workspace <= policy.workspace_limit &&
         admits(policy, dtype, plan);
}

PlanChoice choose(const ConvPolicy& policy, DType dtype, RankedPlans& plans) {
  PlanChoice choice;
  if (plans.size() == 0) {
    choice.reason = plans.obstacle().empty() ? "the library knows no engine" : plans.obstacle();
    return choice;
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const EnginePlan& plan = plans[i];
    if (!admits(policy, dtype, plan)) continue;
    if (plan.state == EnginePlan::State::unknown) choice.estimated = true;
    if (plan.state != EnginePlan::State::ready || plan.workspace > policy.workspace_limit) continue;
    choice.plan = plan;
    return choice;
  }
  const bool without_tf32 = dtype == DType::float32 && !policy.allow_tf32 && policy.choice != Choice::pytorch;
  choice.reason =
      fmt::format("no ranked engine fits the policy {}{}", describe(policy), without_tf32 ? " without TF32" : "");
  return choice;
}

std::vector<EnginePlan> eligible(DType dtype, RankedPlans& plans) {
  struct Family {
    ConvPolicy policy;
    memory::Bytes least = std::numeric_limits<memory::Bytes>::max();
  };
  std::array<Family, 4> families;
  for (std::size_t i = 0; i < families.size(); ++i) {
    families[i].policy.choice = i < 2 ? Choice::heuristic : Choice::deterministic;
    families[i].policy.allow_tf32 = i % 2 == 1;
  }
  std::vector<EnginePlan> kept;
  bool open = true;  // some family could still take a plan of less workspace
  for (std::size_t i = 0; i < plans.size() && open; ++i) {
    const EnginePlan& plan = plans[i];
    if (plan.state == EnginePlan::State::refused) continue;
    bool keep = false;
    open = false;
    for (Family& family : families) {
      const bool unknown = plan.state == EnginePlan::State::unknown;
      if (family.least > 0 && admits(family.policy, dtype, plan) && (unknown || plan.workspace < family.least)) {
        keep = true;
        if (!unknown) family.least = plan.workspace;
      }
      open = open || family.least > 0;
    }
    if (keep) kept.push_back(plan);
  }
  return kept;
}

}  // namespace mnemo
