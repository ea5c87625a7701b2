// Convolutions by the engines of the card's library: the plan that was decided on is built once for the device, and
// run.
#pragma once

#include <memory>

#include <mnemo/core/backend.h>
#include <mnemo/core/planning/plan_clock.h>
#include <mnemo/cuda/card_properties.h>

namespace mnemo::cuda {

class CudaBackend;

class ConvRunner {
 public:
  virtual ~ConvRunner() = default;

  /// A call whose plan is ConvAlgorithm::library, on the backend's current stream; whether its bias and relu are done
  /// too, which else is left to the caller. Where the engine cannot be built or run, or wants another workspace than
  /// was decided, a warning says so and mnemo's own kernels compute it. Throws CudaError where those fail.
  virtual bool run(const CudaBackend& backend, const ConvCall& call) = 0;
};

/// Over cuDNN (cuda/cudnn/); where that is not built in or not found, one whose `run` says so.
std::unique_ptr<ConvRunner> open_conv_runner();

/// Replaces what cuDNN is told of a device by what it says of it itself, where it does.
void describe_by_library(int device, CardProperties& properties);

/// Times the engines that `open_conv_runner` runs; null where there are none.
std::shared_ptr<PlanClock> open_plan_clock(int device);

}  // namespace mnemo::cuda
