// A training step of a model, on a fresh device: who holds what where its parts end, and at its peak.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "training/trainer.h"

namespace mnemo::labs {

struct TrainingBytes {
  memory::CategoryBytes forward{};  ///< with the output there, nothing backwards yet
  memory::CategoryBytes after{};    ///< after the second step, when all that belonged to it is released
  memory::Peak peak;                ///< of the second step
};

/// With `exact_blocks()`.
TrainingBytes measure_training(const models::Spec& spec, const training::TrainerOptions& options, std::int64_t batch,
                               const std::string& device);

}  // namespace mnemo::labs
