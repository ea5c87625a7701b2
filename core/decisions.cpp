#include <mnemo/core/decisions.h>

#include <vector>

namespace mnemo {

ConvPlan own_plan(const ConvProblem& problem, const ConvPolicy& policy) {
  if (policy.choice == ConvPolicy::Choice::direct) return {};
  const memory::Bytes unfolded = unfolded_bytes(problem);
  if (unfolded > policy.workspace_limit) return {};
  return {.algorithm = ConvAlgorithm::gemm, .workspace = unfolded};
}

RankedPlans own_plans(const ConvProblem& problem) {
  EnginePlan direct, gemm;
  direct.engine = name(ConvAlgorithm::direct);
  gemm.rank = 1;
  gemm.engine = name(ConvAlgorithm::gemm);
  gemm.workspace = unfolded_bytes(problem);
  return RankedPlans(std::vector{direct, gemm});
}

}  // namespace mnemo
