// The options of a training run that step, explain and diff share: which optimizer, and how lean.
#pragma once

#include <string>

#include "command/workload.h"
#include "training/trainer.h"

namespace mnemo::command {

/// As they were written.
struct TrainingOptions {
  std::string optimizer = "sgd";
  std::string lr;  ///< empty: the optimizer's usual one
  std::string amp = "no";
  std::string accumulate = "1";
  std::string checkpoint = "none";  ///< see training::read_checkpoint_request
  std::string workspace;            ///< see parse_workspace_limits; empty: no limits
  bool optimizer_in_backward = false;
  bool master_weights = false;
  bool in_place = false;
  bool offload = false;
  bool recover = false;
  bool graph = false;
  bool no_grad = false;
};

/// Adds --optimizer, --lr, --amp, --accumulate, --checkpoint, --workspace, --optimizer-in-backward, --master-weights,
/// --in-place, --offload, --recover, --graph and --no-grad.
void add_training(CLI::App& verb, TrainingOptions& options);
/// Throws UsageError, also for options that do not go together, and for limits of layers that the model does not have.
training::TrainerOptions read_training(const TrainingOptions& options, const Workload& workload);
/// The optimizer of that name.
training::Rule read_rule(const std::string& word);

}  // namespace mnemo::command
