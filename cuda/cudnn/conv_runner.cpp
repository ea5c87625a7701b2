// Convolutions by cuDNN: each plan is built when it first runs, and found again through ConvPlan::built.
#include <mnemo/cuda/device/conv_runner.h>

#include <deque>
#include <mutex>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/properties.h>

namespace mnemo::cuda {

namespace {

/// A plan that is ready to run: what changes from run to run is where its operands lie.
struct BuiltPlan {
  Descriptor plan;
  memory::Bytes workspace;
};

/// The library on one device.
class Session {
 public:
  explicit Session(int device) : device_(device_descriptor(device_properties(device))) {
    check_cudnn(library(), library().create(&handle_), "opening cuDNN on the device");
  }
  ~Session() { library().destroy(handle_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  static const CudnnLibrary& library() { return cudnn_library(); }
  const Descriptor& device() const { return device_; }

  void execute(cudaStream_t stream, const Descriptor& plan, const Descriptor& operands) {
    if (stream != stream_) {
      check_cudnn(library(), library().set_stream(handle_, stream), "choosing cuDNN's stream");
      stream_ = stream;
    }
    check_cudnn(library(), library().execute(handle_, plan.handle(), operands.handle()), "running a convolution");
  }

 private:
  Descriptor device_;
  cudnnHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

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
    const BuiltPlan& plan = built != nullptr ? *static_cast<const BuiltPlan*>(built) : build(call);
    const std::int64_t ids[] = {1, 2, 3};  // as conv_graph numbers them
    void* const operands[] = {address(call.x), address(call.w), address(call.y)};
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids), "the operands' numbers");
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(operands), "the operands");
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, address(call.workspace), "the workspace");
    pack.finalize("a convolution's operands");
    session_->execute(stream, plan.plan, pack);
  }

 private:
  const BuiltPlan& build(const ConvCall& call) {
    const ConvQuery query{call.problem, call.pass, call.layout};
    Descriptor plan = execution_plan(query, call.plan.engine, session_->device());
    const auto workspace = plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
    if (workspace > call.plan.workspace) {
      throw CudaError(
          fmt::format("[cudnn] engine {} for {} wants a workspace of {} bytes on this device, and {} were "
                      "decided on; this is an error of mnemo or of cuDNN {}",
                      call.plan.engine, describe(query), workspace, call.plan.workspace, Session::library().version));
    }
    const BuiltPlan& built = plans_.emplace_back(BuiltPlan{std::move(plan), workspace});
    if (call.plan.built != nullptr) call.plan.built->store(&built, std::memory_order_release);
    return built;
  }

  std::mutex mutex_;  // a session is one thread's at a time
  std::unique_ptr<Session> session_;
  std::deque<BuiltPlan> plans_;
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<CudnnRunner>(); }

}  // namespace mnemo::cuda
