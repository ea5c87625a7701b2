#include <mnemo/cuda/plan_policy.h>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::cuda {

namespace {

/// Whether the engine may be used at all, whatever its workspace.
bool admits(const PlanPolicy& policy, DType dtype, const EnginePlan& plan) {
  const bool rounds = plan.notes.has(NumericalNote::tensor_core) || plan.notes.has(NumericalNote::down_convert_inputs);
  if (dtype == DType::float32 && rounds && !policy.allow_tf32) return false;
  switch (policy.kind) {
    case PlanPolicy::Kind::deterministic:
      return !plan.notes.has(NumericalNote::nondeterministic);
    case PlanPolicy::Kind::engine:
      return plan.engine == policy.engine || plan.engine.starts_with(policy.engine + "_");
    case PlanPolicy::Kind::heuristic:
    case PlanPolicy::Kind::workspace_limit:
      break;
  }
  return true;
}

bool is_engine(std::string_view text) {
  return text.size() > 3 && text.starts_with("eng") && text[3] >= '0' && text[3] <= '9' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_=-") == std::string_view::npos;
}

}  // namespace

PlanPolicy parse_plan_policy(std::string_view text) {
  constexpr std::string_view limited = "workspace<=";
  using Kind = PlanPolicy::Kind;
  if (text == "heuristic") return {};
  if (text == "zero-workspace" || text == "workspace<=0")
    return {.kind = Kind::workspace_limit, .limit = 0, .engine = {}};
  if (text == "deterministic") return {.kind = Kind::deterministic, .limit = 0, .engine = {}};
  if (text.starts_with(limited)) {
    return {.kind = Kind::workspace_limit, .limit = memory::parse_bytes(text.substr(limited.size())), .engine = {}};
  }
  if (is_engine(text)) return {.kind = Kind::engine, .limit = 0, .engine = std::string(text)};
  throw ConfigError(
      fmt::format("policy \"{}\" is not known; there are heuristic, workspace<=SIZE (such as "
                  "workspace<=64MiB), zero-workspace, deterministic, and an engine's name such as eng28",
                  text));
}

std::string describe(const PlanPolicy& policy) {
  switch (policy.kind) {
    case PlanPolicy::Kind::heuristic:
      return "heuristic";
    case PlanPolicy::Kind::workspace_limit:
      return policy.limit == 0 ? "zero-workspace" : fmt::format("workspace<={}", policy.limit);
    case PlanPolicy::Kind::deterministic:
      return "deterministic";
    case PlanPolicy::Kind::engine:
      break;
  }
  return policy.engine;
}

PlanChoice choose(const PlanPolicy& policy, DType dtype, RankedPlans& plans) {
  PlanChoice choice;
  if (plans.size() == 0) {
    choice.reason = plans.obstacle().empty() ? "the library knows no engine" : plans.obstacle();
    return choice;
  }
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    const EnginePlan& plan = plans[rank];
    if (!admits(policy, dtype, plan)) continue;
    if (plan.state == EnginePlan::State::unknown) choice.estimated = true;
    if (plan.state != EnginePlan::State::ready) continue;
    if (policy.kind == PlanPolicy::Kind::workspace_limit && plan.workspace > policy.limit) continue;
    choice.plan = plan;
    choice.rank = rank;
    return choice;
  }
  choice.reason = fmt::format("none of {} ranked engines fits the policy {}{}", plans.size(), describe(policy),
                              dtype == DType::float32 && !policy.allow_tf32 ? " without TF32" : "");
  return choice;
}

}  // namespace mnemo::cuda
