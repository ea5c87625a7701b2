// The options of a training run that step, explain and diff share: which optimizer, and how lean.
#pragma once

#include <string>

#include "command/workload.h"
#include "training/trainer.h"

namespace mnemo::command {

/// As they were written.
struct TrainingOptions {
  std::string optimizer = "sgd";
  std::string amp = "no";
  std::string accumulate = "1";
  std::string checkpoint = "none";  ///< see training::read_checkpoint_request
  bool optimizer_in_backward = false;
  bool in_place = false;
  bool offload = false;
  bool recover = false;
  bool no_grad = false;
};

/// Adds --optimizer, --amp, --accumulate, --checkpoint, --optimizer-in-backward, --in-place, --offload and --no-grad.
void add_training(CLI::App& verb, TrainingOptions& options);
/// Throws UsageError, also for options that do not go together.
training::TrainerOptions read_training(const TrainingOptions& options, DType dtype);
/// The optimizer of that name.
training::Rule read_rule(const std::string& word);

}  // namespace mnemo::command
