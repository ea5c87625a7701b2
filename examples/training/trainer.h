// Trainer: training steps of a model of the zoo, and what each of them did to memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "models/registry.h"

namespace mnemo::training {

enum class Rule {
  sgd,      ///< without momentum, learning rate 0.01: no state
  adam,     ///< learning rate 0.001: two values per parameter
  nothing,  ///< no training: the forward pass without recording
};
const char* name(Rule rule);

/// Memory after a step, when everything that belonged to it is released, and at its peak. Bytes.
struct StepReport {
  double loss = 0;                   ///< NaN on a virtual device, and where none was computed
  std::int64_t operations = 0;       ///< core/work.h
  memory::Bytes before_forward = 0;  ///< allocated with the input there
  memory::Bytes after_forward = 0;   ///< allocated with the output there
  memory::Bytes allocated = 0;
  memory::Bytes reserved = 0;
  memory::Bytes peak_reserved = 0;
  memory::Peak peak;
};

/// A model on the current device with its optimizer.
class Trainer {
 public:
  /// Parameters and data have this dtype.
  Trainer(const models::Spec& spec, Rule rule, DType dtype = DType::float32);

  /// One step on random data: new input, forward, backward, update. Peaks are counted from its beginning. Without
  /// training a regression computes no loss.
  StepReport step(std::int64_t batch_size, std::int64_t edge);

  /// From now on the model runs by this plan of its stages; nothing: by its own forward.
  void checkpoint(std::optional<CheckpointPlan> plan) { plan_ = std::move(plan); }

  models::Model& model() { return *model_; }
  const Device& device() const { return device_; }

 private:
  void run(std::int64_t batch_size, std::int64_t edge, StepReport& report);

  const models::Spec& spec_;
  DType dtype_;
  Device device_;  ///< the current one when it was made
  std::unique_ptr<models::Model> model_;
  std::optional<CheckpointPlan> plan_;
  std::unique_ptr<optim::Optimizer> optimizer_;  ///< null for Rule::nothing
  std::int64_t steps_ = 0;
};

}  // namespace mnemo::training
