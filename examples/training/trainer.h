// Trainer: training steps of a model of the zoo, and what each of them did to memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/registry.h"

namespace mnemo::training {

enum class Rule {
  sgd,       ///< without momentum, learning rate 0.01: no state
  adam,      ///< learning rate 0.001: two values per parameter
  adam8bit,  ///< the same in two bytes per parameter
  nothing,   ///< no training: the forward pass without recording
};
const char* name(Rule rule);

/// How a model is trained.
struct TrainerOptions {
  Rule rule = Rule::sgd;
  std::optional<double> lr = {};   ///< learning rate; unless given that of the rule
  DType dtype = DType::float32;    ///< of parameters and data
  std::optional<DType> amp = {};   ///< autocast to this half type; with float16 the loss is scaled
  std::int64_t accumulate = 1;     ///< batches whose gradients make one update, the mean of theirs
  bool recover = false;            ///< a step that does not fit is done again in parts: nn/parts.h
  bool step_in_backward = false;   ///< parameters are updated, and their gradients freed, during backward
  bool master_weights = false;     ///< half parameters have float32 copies, in which they are updated
  bool in_place = false;           ///< activations overwrite their inputs; batch norm and its activation are one
  bool offload = false;            ///< what the forward pass saves waits in host memory for backward
  bool graph = false;              ///< a GPU records the step once and repeats it: StepGraph
  WorkspaceLimits workspace = {};  ///< of the layers' convolutions
};
/// "adam in backward, autocast to bfloat16, 4 batches per update": all but the dtype.
std::string describe(const TrainerOptions& options);

/// What autocast does in its forward pass.
AutocastState autocast_of(const TrainerOptions& options);

/// Memory where a part of a step ends, in bytes; peaks are those since the step began.
struct PhaseReport {
  std::string
      phase;  ///< "data", "forward", "backward", "optimizer", and "end": all that belonged to the step is released
  memory::Bytes allocated = 0;
  memory::Bytes reserved = 0;
  memory::Bytes peak_allocated = 0;
  memory::Bytes peak_reserved = 0;

  bool operator==(const PhaseReport&) const = default;
};
/// What `device` holds now.
PhaseReport report_phase(std::string phase, const Device& device);

/// Memory after a step, when everything that belonged to it is released, and at its peak. Bytes.
struct StepReport {
  double loss = 0;                   ///< NaN on a virtual device, and where none was computed
  std::int64_t operations = 0;       ///< core/work.h
  std::int64_t part = 0;             ///< samples at a time, of a trainer that recovers
  memory::Bytes before_forward = 0;  ///< allocated with the input there; of several batches the last
  memory::Bytes after_forward = 0;   ///< allocated with the output there
  memory::Bytes allocated = 0;
  memory::Bytes reserved = 0;
  memory::Bytes peak_reserved = 0;
  memory::Bytes host_peak = 0;  ///< activations that waited on the host, at most
  memory::Peak peak;
  std::vector<PhaseReport> phases;  ///< in the order in which they ended; several of a kind where batches accumulate
  double seconds = 0;               ///< until the device was done with it; 0 on a virtual one
};

/// A model on the current device with its optimizer.
class Trainer {
 public:
  /// Throws GradError for a step in backward that accumulates gradients, scales the loss or recovers, and for a
  /// recorded step that accumulates, recovers, keeps activations on the host or trains nothing.
  Trainer(const models::Spec& spec, const TrainerOptions& options);
  Trainer(const models::Spec& spec, Rule rule, DType dtype = DType::float32)
      : Trainer(spec, TrainerOptions{.rule = rule, .dtype = dtype}) {}

  /// One step on random data, or what `draw_from` was given: new input, forward, backward (`accumulate` times), update.
  /// Peaks are counted from its beginning. Without training a regression computes no loss.
  StepReport step(std::int64_t batch_size, std::int64_t edge);

  /// From now on the model runs by this plan of its stages; nothing: by its own forward.
  void checkpoint(std::optional<CheckpointPlan> plan) { plan_ = std::move(plan); }

  /// From now on batches come from here, not at random: a function of their size.
  void draw_from(std::function<models::Batch(std::int64_t)> data) { data_ = std::move(data); }

  models::Model& model() { return *model_; }
  const Device& device() const { return device_; }

 private:
  void run(std::int64_t batch_size, std::int64_t edge, StepReport& report);
  struct Passed {
    Tensor output, loss;  ///< the loss is undefined where there is none
  };
  Passed forward(const Tensor& input, const Tensor& targets, StepReport& report);
  void run_graph(std::int64_t batch_size, std::int64_t edge, StepReport& report);
  void run_in_parts(std::int64_t batch_size, std::int64_t edge, StepReport& report);
  models::Batch draw(std::int64_t batch_size, std::int64_t edge);
  void update();
  void end_phase(const char* phase, StepReport& report);

  const models::Spec& spec_;
  TrainerOptions options_;
  Device device_;  ///< the current one when it was made
  std::unique_ptr<StepGraph> graph_;
  std::optional<Device> host_;  ///< where activations wait
  std::unique_ptr<models::Model> model_;
  std::optional<CheckpointPlan> plan_;
  std::function<models::Batch(std::int64_t)> data_;  ///< empty: random numbers
  std::unique_ptr<optim::Optimizer> optimizer_;      ///< null for Rule::nothing
  std::optional<optim::GradScaler> scaler_;
  std::optional<optim::StepInBackward> in_backward_;
  nn::Parts parts_;
  std::int64_t steps_ = 0;
};

}  // namespace mnemo::training
