// Where the CUDA backend is built without cuDNN's headers: what it asks of cuDNN on a device. A file apart from the
// planner's, since the emulation in tests/cuda/emulator has a runner of its own but the library's planner.
#include <string>

#include <mnemo/core/error.h>
#include <mnemo/cuda/device/conv_runner.h>

namespace mnemo::cuda {

namespace {

class NoRunner final : public ConvRunner {
 public:
  bool run(const CudaBackend&, const ConvCall& call) override {
    throw CudaError(std::string("[conv] engine ") + call.plan.engine + " cannot run: this build of mnemo has no cuDNN");
  }
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<NoRunner>(); }

void describe_by_library(int, CardProperties&) {}

std::shared_ptr<PlanClock> open_plan_clock(int) { return nullptr; }

}  // namespace mnemo::cuda
