// What would lower the peak of a model's run and can only be found by running it so: `mnemo explain` adds it to what it
// reads from the recording.
#pragma once

#include <vector>

#include <mnemo/mnemo.h>

#include "training/recorded_run.h"

namespace mnemo::command {

/// --in-place and --offload, where the run has them not and they lower its peak, each measured by a dry run on the
/// device's virtual twin; none for a device that has no twin. `peak` is what the run allocated at most.
std::vector<memory::Advice> measured_advice(const training::RunPlan& run, memory::Bytes peak);

}  // namespace mnemo::command
