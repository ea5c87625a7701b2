// What `mnemo step` did: training steps for each batch size in turn, on one device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "command/output.h"
#include "command/workload.h"
#include "training/checkpointing.h"
#include "training/trainer.h"

namespace mnemo::command {

/// The steps with one batch size.
struct StepRun {
  std::int64_t batch = 0;
  std::int64_t size = 0;
  std::vector<training::StepReport> steps;
  std::optional<training::ChosenPlan> checkpoints = {};  ///< if any were asked for
};

struct StepResult {
  const Workload* workload = nullptr;
  std::string device;
  std::string decisions;  ///< where those about convolutions come from; "" without convolutions
  training::TrainerOptions training = {};
  bool timed = false;  ///< whether the object says how long steps took, which is never twice the same
  std::int64_t parameters = 0;
  std::vector<StepRun> runs = {};
  memory::Statistics statistics = {};     ///< at the end
  std::int64_t estimated_workspaces = 0;  ///< convolution passes whose workspace is not that of the real device
  std::string weights = {};               ///< the file that they began with; "" for random ones
  std::string data = {};                  ///< the file of the samples, likewise
  std::int64_t samples = 0;               ///< in that file
  std::string saved_weights = {};         ///< the file where they are now, if they were to be saved
  std::string not_saved = {};             ///< why not
  std::optional<OutOfMemory> out_of_memory = {};
  std::vector<std::string> changes = {};  ///< with which it would fit
};

Json to_json(const StepResult& result);
/// The same as a table.
std::string text(const StepResult& result);

}  // namespace mnemo::command
