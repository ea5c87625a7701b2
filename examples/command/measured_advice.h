// What would lower the peak of a model's run, each found by running it so: `mnemo explain` says this in the place of
// what it would estimate from the recording.
#pragma once

#include <optional>
#include <vector>

#include <mnemo/mnemo.h>

#include "training/recorded_run.h"

namespace mnemo::command {

/// The options of `mnemo step` that lower what the run allocates at most, `peak`, each measured by a dry run of at most
/// three steps on the device's virtual twin; nothing for a device that has no twin.
std::optional<std::vector<memory::Advice>> measured_advice(const training::RunPlan& run, memory::Bytes peak);

}  // namespace mnemo::command
