#include <mnemo/core/decisions.h>

namespace mnemo {

namespace {

class CpuDecisions final : public Decisions {
 public:
  ConvPlan conv(const ConvProblem& problem, ConvPass, const ConvPolicy& policy) const override {
    const ConvPlan direct{.algorithm = ConvAlgorithm::direct};
    if (policy.choice == ConvPolicy::Choice::direct) return direct;
    const ConvPlan gemm{.algorithm = ConvAlgorithm::gemm, .workspace = unfolded_bytes(problem)};
    if (gemm.workspace > policy.workspace_limit) return direct;
    return policy.choice == ConvPolicy::Choice::gemm || gemm_is_faster(problem) ? gemm : direct;
  }

 private:
  static bool gemm_is_faster(const ConvProblem&) { return false; }
};

}  // namespace

std::shared_ptr<const Decisions> cpu_decisions() {
  static const auto decisions = std::make_shared<const CpuDecisions>();
  return decisions;
}

}  // namespace mnemo
