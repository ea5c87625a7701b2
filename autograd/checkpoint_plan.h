// CheckpointPlan: which parts of a chain of stages keep everything for backward and which are computed again, and how a
// chain runs by such a plan. Plans come from hand, from even_segments, or from CheckpointPlanner.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// One link of a chain. What runs through a chain is a stack of tensors: a stage takes those on top and puts its
/// results in their place, so a skip connection is a tensor that lies below until a stage takes two.
struct Stage {
  std::string name;
  std::function<std::vector<Tensor>(std::span<const Tensor>)> run;  ///< the top one is the last
  std::size_t takes = 1, gives = 1;
};
/// A stage of one tensor.
Stage make_stage(std::string name, std::function<Tensor(const Tensor&)> run);

/// Stages first to last - 1: one that keeps what it saves for backward, or several that keep their input only and are
/// run again by a plan of their own.
struct PlanPart {
  std::size_t first = 0, last = 0;
  bool checkpointed = false;
  std::vector<PlanPart> inside = {};  ///< of a checkpointed part: covers it from first to last

  bool operator==(const PlanPart&) const = default;
};

/// Parts in order, from stage 0 to the last one.
struct CheckpointPlan {
  std::vector<PlanPart> parts;

  /// "0 1 (2 3 (4 5) 6) 7": stages by number, checkpointed parts in brackets.
  std::string text() const;
  bool operator==(const CheckpointPlan&) const = default;
};

/// Reads what CheckpointPlan::text writes. Throws ConfigError, with the place, for what is no plan: stages out of
/// order, brackets that do not match.
CheckpointPlan parse_checkpoint_plan(std::string_view text);

/// Every stage keeps what it saves.
CheckpointPlan no_checkpoints(std::size_t stages);
/// Parts of equal length (the first ones longer by one); all are checkpointed but the last, whose backward comes first.
/// 1 <= count <= stages; Error otherwise.
CheckpointPlan even_segments(std::size_t stages, std::size_t count);

/// Runs the chain by the plan and returns what the last stage gives: the only tensor that is left. What the stages
/// refer to must live until backward. Throws Error for a plan that does not cover the stages, and for stages that leave
/// more than one tensor.
Tensor run_chain(const CheckpointPlan& plan, std::span<const Stage> stages, const Tensor& x);

}  // namespace mnemo
