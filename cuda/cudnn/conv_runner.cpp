// Convolutions by cuDNN: each plan is built when it first runs, and found again through ConvPlan::built.
#include <mnemo/cuda/device/conv_runner.h>

#include <deque>
#include <mutex>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/cudnn/session.h>
#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

namespace {

void* address(const Array& array) {
  return array.defined() ? array.storage()->data() + array.layout().offset * size_of(array.dtype()) : nullptr;
}

class CudnnRunner final : public ConvRunner {
 public:
  void run(const CudaBackend& backend, const ConvCall& call) override {
    cudaStream_t stream = backend.stream();
    const std::lock_guard lock(mutex_);
    if (!session_) session_ = std::make_unique<Session>(backend.index());
    const void* built = call.plan.built != nullptr ? call.plan.built->load(std::memory_order_acquire) : nullptr;
    const Descriptor& plan = built != nullptr ? *static_cast<const Descriptor*>(built) : build(call);
    session_->run(stream, plan, {address(call.x), address(call.w), address(call.y), address(call.workspace)});
  }

 private:
  const Descriptor& build(const ConvCall& call) {
    const ConvQuery query{call.problem, call.pass, call.layout};
    Descriptor plan = session_->plan(query, call.plan.engine);
    const auto workspace = plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
    if (workspace > call.plan.workspace) {
      throw CudaError(
          fmt::format("[cudnn] engine {} for {} wants a workspace of {} bytes on this device, and {} were "
                      "decided on; this is an error of mnemo or of cuDNN {}",
                      call.plan.engine, describe(query), workspace, call.plan.workspace, cudnn_library().version));
    }
    const Descriptor& built = plans_.emplace_back(std::move(plan));
    if (call.plan.built != nullptr) call.plan.built->store(&built, std::memory_order_release);
    return built;
  }

  std::mutex mutex_;  // a session is one thread's at a time
  std::unique_ptr<Session> session_;
  std::deque<Descriptor> plans_;
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<CudnnRunner>(); }

}  // namespace mnemo::cuda
