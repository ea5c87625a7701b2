// Where mnemo is built without cuDNN's headers: the symbols by which its planner and its engines are reached say so.
#include <mnemo/core/error.h>
#include <mnemo/cuda/conv_planner.h>
#include <mnemo/cuda/device/conv_runner.h>

namespace mnemo::cuda {

namespace {

constexpr const char* kReason = "this build of mnemo has no cuDNN";

class NoRunner final : public ConvRunner {
 public:
  bool run(const CudaBackend&, const ConvCall& call) override {
    throw CudaError(std::string("[conv] engine ") + call.plan.engine + " cannot run: " + kReason);
  }
};

}  // namespace

std::shared_ptr<ConvPlanner> open_conv_planner(const CardProperties&, std::string& reason) {
  reason = kReason;
  return nullptr;
}

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<NoRunner>(); }

void describe_by_library(int, CardProperties&) {}

std::shared_ptr<PlanClock> open_plan_clock(int) { return nullptr; }

}  // namespace mnemo::cuda
