// A training run under a recorder in memory: what a model does to a device's
// memory, ready to be asked about.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <mnemo/mnemo.h>

#include "models/registry.h"
#include "training/trainer.h"

namespace mnemo::training {

/// What is run, and where.
struct RunPlan {
  models::Spec spec;
  TrainerOptions training = {};
  ConvPolicy policy = {};
  std::optional<CheckpointPlan> checkpoint = {};  ///< nothing: the model's own forward
  std::int64_t batch = 1;
  std::int64_t size = 0;  ///< 0: the model's own extents
  std::int64_t steps = 2;
  std::uint64_t seed = 0;
  Device device = {};        ///< should be a new one: what others hold on it is recorded too
  std::string command = {};  ///< how the run was asked for; for the recording's metadata
  std::string record = {};   ///< a file that shall hold the recording, and all of it; none if empty
};

/// What a recording of this run says about itself: command, model, batch, size,
/// dtype, optimizer, steps, seed, policy, allocator and where decisions come
/// from.
memory::RecordingAbout about(const RunPlan& plan);

struct RecordedRun {
  memory::Recording recording;
  std::optional<OutOfMemory> out_of_memory = {};  ///< the run ended with it
  std::int64_t estimated_workspaces = 0;          ///< convolution passes whose workspace is not that of the real device
};

/// Makes the model on the device and trains it; the model is still there at the
/// end of the recording. The program's random numbers and current device stay
/// as they were. Throws ShapeError for a size that the model does not take.
RecordedRun record_run(const RunPlan& plan, memory::Ring ring = {});

}  // namespace mnemo::training
