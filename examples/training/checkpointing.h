// Which plan of checkpoints a model trains by: what was asked for, and dry runs that choose. The planner proposes; what
// a plan needs is measured on a virtual device, where allocator and workspaces count as they do in the run itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <mnemo/mnemo.h>

#include "training/recorded_run.h"

namespace mnemo::training {

struct CheckpointRequest {
  enum class Kind {
    none,       ///< the model's own forward
    segments,   ///< `segments` equal parts of its stages
    automatic,  ///< the least memory for at most kUsualExtra more operations
    budget,     ///< the fewest operations with at most `budget` bytes allocated
    given,      ///< `plan`
  };
  /// Of the operations of a step.
  static constexpr double kUsualExtra = 0.16;

  Kind kind = Kind::none;
  std::size_t segments = 1;
  memory::Bytes budget = 0;
  CheckpointPlan plan = {};
};
/// "none", "4", "auto", "plan:4GiB", or a plan such as "0 (1 2) 3"; throws ConfigError.
CheckpointRequest read_checkpoint_request(std::string_view text);

/// What two training steps by a plan do on a fresh virtual device; the first also makes what stays.
struct CheckpointTrial {
  std::optional<CheckpointPlan> plan = {};  ///< nothing: the model's own forward
  memory::Bytes peak = 0;                   ///< allocated at most
  memory::Bytes activations = 0;            ///< activations at most, saved and live ones
  std::int64_t operations = 0;              ///< of one step

  bool fits() const { return peak != kTooMuch; }
  static constexpr memory::Bytes kTooMuch = INT64_MAX;  ///< out of memory
  /// Operations beyond those of the other, as a part of them.
  double extra(const CheckpointTrial& plain) const;
};

/// Dry runs of one model at one batch size and resolution. `run.device` is virtual, or a CPU.
class CheckpointStudy {
 public:
  /// Throws ConfigError for another device, and OutOfMemory where the model alone does not
  /// fit.
  explicit CheckpointStudy(RunPlan run);

  /// Throws OutOfMemory.
  CheckpointTrial run(std::optional<CheckpointPlan> plan) const;
  /// Without checkpoints; where that does not fit, its bytes are CheckpointTrial::kTooMuch and its operations the planner's.
  const CheckpointTrial& plain() const { return plain_; }
  std::size_t stages() const { return stages_; }
  /// sqrt(stages) equal segments.
  CheckpointTrial square_root() const;
  /// The planner's frontiers (of all bytes, and of activations) and equal segments, a hundred plans or so, fewest
  /// operations first; those that do not fit are left out.
  std::vector<CheckpointTrial> candidates() const;
  const CheckpointPlanner& planner() const { return *planner_; }

  /// The best candidate within a limit, or nothing.
  std::optional<CheckpointTrial> within_budget(memory::Bytes peak) const;
  std::optional<CheckpointTrial> within_extra(double extra) const;

 private:
  Device fresh_device() const;

  RunPlan run_;
  std::size_t stages_ = 0;
  std::optional<CheckpointPlanner> planner_, activation_planner_;
  CheckpointTrial plain_;
};

/// The plan for a request, with its dry run and that without checkpoints. Throws ConfigError for more segments than
/// stages, and where no plan keeps the budget, saying what the least is.
struct ChosenPlan {
  CheckpointTrial chosen, plain;
};
ChosenPlan choose_plan(const RunPlan& run, const CheckpointRequest& request);

}  // namespace mnemo::training
