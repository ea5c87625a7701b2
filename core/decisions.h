// What a device decides before anything runs: algorithms, layouts and workspaces. Pure host code that needs no device,
// so that a virtual device takes the decisions of the one that it imitates.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include <mnemo/core/conv.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

struct SortSizes;

/// `batch` products of (rows, depth) and (depth, columns).
struct MatmulProblem {
  std::int64_t batch = 1, rows = 1, columns = 1, depth = 1;
  DType dtype = DType::float32;
};

class Decisions;

/// A decision that was taken. It stays where and what it is for as long as its decisions.
struct RememberedPlan {
  RememberedPlan(const Decisions& by, const ConvQuery& asked, const ConvPolicy& under, const ConvPlan& taken)
      : decisions(&by), query(asked), policy(under), plan(taken) {
    plan.built = &built;
  }

  const Decisions* decisions;
  ConvQuery query;
  ConvPolicy policy;
  ConvPlan plan;
  mutable std::atomic<const void*> built{nullptr};  ///< of the device, for this plan (ConvPlan::built)
};

class Decisions : public std::enable_shared_from_this<Decisions> {
 public:
  virtual ~Decisions() = default;

  /// How to compute one pass of a convolution under a policy.
  virtual ConvPlan conv(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const = 0;
  /// The same where it is remembered; null where it is not, because deciding takes no more than a few comparisons.
  virtual const RememberedPlan* remembered(const ConvProblem&, ConvPass, const ConvPolicy&) const { return nullptr; }
  /// The layout that a convolution's operands are brought into.
  virtual ConvLayout conv_layout(DType, const ConvPolicy&) const { return ConvLayout::contiguous; }
  /// All plans that the device has for a pass, its favourite first, whatever the policy says of engines.
  virtual RankedPlans plans(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const = 0;
  /// Seconds that a library's plan takes, where it can be run (see PlanClock); nothing elsewhere.
  virtual std::optional<double> seconds(const ConvQuery&, const EnginePlan&) const { return std::nullopt; }
  /// The kernel of a library's plan with that behind its sums (ConvPlanner::fused), where a library is at hand.
  virtual std::optional<EnginePlan> fused(const ConvQuery&, const ConvEpilogue&, const std::string& /*engine*/) const {
    return std::nullopt;
  }
  /// Bytes that a matrix product gets as its workspace.
  virtual memory::Bytes matmul_workspace(const MatmulProblem&, const ConvPolicy&) const { return 0; }
  /// Bytes that sorting gets as its workspace.
  virtual memory::Bytes sort_workspace(const SortSizes&, DType) const { return 0; }
  /// The version of cuDNN whose decisions these are, "9.19.0", or "" where none has a say.
  virtual std::string cudnn() const { return {}; }
  /// Where decisions come from, for people: "mnemo", "cuDNN 9.19.0", "tables of cuDNN 9.19.0", "estimated: ...".
  virtual std::string source() const = 0;
};

/// The decisions of mnemo's CPU backend. The number of threads has no influence.
std::shared_ptr<const Decisions> cpu_decisions();

/// One of mnemo's own algorithms: `gemm` where its unfolded matrix fits into the policy's limit, else `direct`.
ConvPlan own_plan(const ConvProblem& problem, const ConvPolicy& policy);
/// Both of them as a ranking of engines named "direct" and "gemm".
RankedPlans own_plans(const ConvProblem& problem);

}  // namespace mnemo
