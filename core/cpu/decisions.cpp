#include <mnemo/core/decisions.h>

namespace mnemo {

namespace {

class CpuDecisions final : public Decisions {
 public:
  ConvPlan conv(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const override {
    const bool wanted = policy.choice == ConvPolicy::Choice::gemm || gemm_is_faster(problem, pass);
    return wanted ? own_plan(problem, policy) : ConvPlan{};
  }
  RankedPlans plans(const ConvProblem& problem, ConvPass, const ConvPolicy&) const override {
    return own_plans(problem);
  }
  std::string source() const override { return "mnemo"; }

 private:
  // Measured with benchmarks/conv.cpp on a Zen 4 core (float32): `direct` makes the unfolded matrix in pieces in the
  // cache and wins the forward pass and the weight gradient, or loses by little, everywhere. Its data gradient unfolds
  // the output's channels to compute the input's; where those are few, `gemm` does less: 1->16 k3 0.55 ms against 1.5,
  // 3->64 k7 16 against 53, 8->32 k3 6.3 against 7.7, 64->512 k3 21 against 25; but 16->32 k3 3.4 against 2.8.
  // Half types stay with `direct`, since gemm rounds the gradient once per tap.
  static bool gemm_is_faster(const ConvProblem& problem, ConvPass pass) {
    return pass == ConvPass::data_gradient && problem.out_channels >= 3 * problem.in_channels &&
           !is_half(problem.dtype);
  }
};

}  // namespace

std::shared_ptr<const Decisions> cpu_decisions() {
  static const auto decisions = std::make_shared<const CpuDecisions>();
  return decisions;
}

}  // namespace mnemo
