// CheckpointPlanner: the plan with the fewest operations for every budget of memory, by dynamic programming.
//
// The recurrence is that of Beaumont, Eyraud-Dubois, Herrmann, Joly and Shilova, "Optimal checkpointing for
// heterogeneous chains: how to train deep neural networks with limited memory" (2019), with three things added: a
// recomputation stops early, the gradients of parameters pile up during backward, and a stage may take several tensors
// (skips).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <mnemo/autograd/stage_costs.h>

namespace mnemo {

/// A plan with what the planner expects of it.
struct PlannedCheckpoints {
  CheckpointPlan plan;
  memory::Bytes peak = 0;       ///< beside the chain's input, the parameters and all that is not the chain's
  std::int64_t extra_work = 0;  ///< operations of all recomputations; fewer run where they end in stages that save nothing
};

/// Among plans in which the last stage of every (sub)chain keeps what it saves: any other can be had without more
/// memory or operations by flattening. A stage that keeps what it saves is taken to hold its input and its output as
/// well.
class CheckpointPlanner {
 public:
  /// Of what budgets are.
  enum class Counts {
    everything,   ///< gradients of activations and parameters too
    activations,  ///< no gradients: for a budget that knows them apart
  };

  /// Bytes are counted in equal steps, about `steps` of them up to what a run without checkpoints needs. What is said of a
  /// plan is exact; between plans that differ by less than the rounding, a slightly worse one may be found.
  explicit CheckpointPlanner(std::vector<StageCosts> costs, int steps = 1000, Counts counts = Counts::everything);

  /// The one with the fewest operations that stays within the budget; nothing if none does.
  std::optional<PlannedCheckpoints> within(memory::Bytes budget) const;
  /// Those that no other one beats in both memory and operations, the least memory first; the last has no checkpoints.
  std::vector<PlannedCheckpoints> frontier() const;

  /// What the planner expects of a given plan.
  PlannedCheckpoints expect(CheckpointPlan plan) const;

  /// Operations of one step without recomputation, forward and backward.
  std::int64_t work() const;

 private:
  static constexpr std::int64_t kNever = INT64_MAX / 4;
  struct Cell {
    std::int64_t work = kNever;  ///< recomputations and the subchain's last run, without all backwards
    std::int32_t split = -1;     ///< the stage before which a checkpointed part ends; -1: the first stage is recorded
  };

  std::int64_t steps_of(memory::Bytes need) const;
  memory::Bytes fresh(std::size_t since, std::size_t boundary) const;
  memory::Bytes waiting_gradients(std::size_t stage) const;
  memory::Bytes gradients(std::size_t first, std::size_t last) const;
  std::int64_t forward_work(std::size_t first, std::size_t last) const;
  memory::Bytes skip_need(std::size_t first, std::size_t last, std::size_t end) const;
  memory::Bytes record_need(std::size_t stage, std::size_t last) const;
  const Cell& cell(std::size_t first, std::size_t last, std::int64_t steps) const;
  void fill(std::size_t first, std::size_t last);
  std::vector<PlanPart> parts(std::size_t first, std::size_t last, std::int64_t steps) const;
  memory::Bytes peak_of(const std::vector<PlanPart>& parts, std::size_t last) const;
  std::int64_t work_of(const std::vector<PlanPart>& parts, bool again) const;

  /// One tensor on the stack between two stages.
  struct Held {
    std::size_t producer;
    memory::Bytes bytes;
  };

  std::vector<StageCosts> costs_;
  Counts counts_;
  std::vector<std::vector<Held>> stacks_;  ///< before stage i; the chain's input is not there
  memory::Bytes step_ = 1;
  std::int64_t steps_ = 0;
  std::vector<std::vector<Cell>> cells_;  ///< by first * stages + last, then by steps
};

}  // namespace mnemo
