// Which of the ranked plans is taken: a pure function, the same for a real card and an imitated one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <mnemo/core/conv.h>
#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

/// The plan that is taken, or none and why.
struct PlanChoice {
  std::optional<EnginePlan> plan;
  /// An engine before this one was passed over only because nothing but a device could tell whether it works.
  bool estimated = false;
  std::string reason;

  bool operator==(const PlanChoice&) const = default;
};

/// REQUIRES: policy.choice is one about the library's plans, neither direct nor gemm.
PlanChoice choose(const ConvPolicy& policy, DType dtype, RankedPlans& plans);

/// Whether the policy may take this plan: it is known, within the limit, and of an arithmetic that is allowed.
bool is_admitted(const ConvPolicy& policy, DType dtype, const EnginePlan& plan);

/// Those of the plans that `choose` can take or be stopped by under any policy without a named engine: with each
/// combination of TF32 and determinism, the first one and every later one of less workspace. Asks for no more plans
/// than that takes.
std::vector<EnginePlan> eligible(DType dtype, RankedPlans& plans);

}  // namespace mnemo
