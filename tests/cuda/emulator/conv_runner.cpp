// cuDNN's engines need a GPU: here mnemo's own kernels compute what one was decided on for, in just the workspace that
// was decided. Every other channel count has an engine with bias and relu.
#include <mnemo/cuda/device/conv_runner.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

namespace {

class EmulatedRunner final : public ConvRunner {
 public:
  bool run(const CudaBackend& backend, const ConvCall& call) override {
    const memory::Bytes given = call.workspace.defined() ? call.workspace.bytes() : 0;
    if (given != call.plan.workspace)
      throw CudaError("the emulated engine was given another workspace than was decided");
    ConvCall own = call;
    own.plan.algorithm = ConvAlgorithm::direct;
    const bool is_fused = call.problem.out_channels % 2 == 0;
    if (!is_fused) own.bias = {}, own.relu = false;
    const_cast<CudaBackend&>(backend).conv(own);
    return is_fused || (!call.bias.defined() && !call.relu);
  }
};

/// A run takes as many nanoseconds as the workspace has bytes: the first plan without one is the fastest.
class EmulatedClock final : public PlanClock {
 public:
  std::optional<double> seconds(const ConvQuery&, const EnginePlan& plan) override {
    return static_cast<double>(plan.workspace) * 1e-9;
  }
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<EmulatedRunner>(); }

void describe_by_library(int, CardProperties&) {}

std::shared_ptr<PlanClock> open_plan_clock(int) { return std::make_shared<EmulatedClock>(); }

}  // namespace mnemo::cuda
