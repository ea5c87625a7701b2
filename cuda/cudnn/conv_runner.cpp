// Convolutions by cuDNN: each plan is built when it first runs, and found again through ConvPlan::built. Bias and relu
// go into it where the library has the same kernel with them.
#include <mnemo/cuda/device/conv_runner.h>

#include <array>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/capture.h>
#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/cudnn/session.h>
#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/check.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

namespace {

void* address(const Array& array) {
  return array.defined() ? array.storage()->data() + array.layout().offset * size_of(array.dtype()) : nullptr;
}

/// What is built for one plan. It lives as long as the runner.
struct Built {
  ExecutionPlan plain;
  std::array<std::optional<std::optional<ExecutionPlan>>, 4> fused;  ///< by epilogue; those that were looked for
};

class CudnnRunner final : public ConvRunner {
 public:
  bool run(const CudaBackend& backend, const ConvCall& call) override {
    cudaStream_t stream = backend.stream();
    const std::lock_guard lock(mutex_);
    if (!session_) session_ = std::make_unique<Session>(backend.index());
    const void* known = call.plan.built != nullptr ? call.plan.built->load(std::memory_order_acquire) : nullptr;
    Built& built = known != nullptr ? *static_cast<Built*>(const_cast<void*>(known)) : build(call);
    Operands operands{address(call.x), address(call.w), address(call.y), address(call.workspace)};
    const ConvEpilogue epilogue{.bias = call.bias.defined(), .relu = call.relu};
    if (std::optional<ExecutionPlan>* fused = fused_for(backend, call, epilogue, built)) {
      operands.bias = address(call.bias);
      try {
        with_room(backend, [&] { session_->run(stream, **fused, operands); });
        return true;
      } catch (const CudaError& error) {
        if (is_sticky(cudaPeekAtLastError())) throw;
        cudaGetLastError();  // no error of what comes now
        memory::log_warning(fmt::format("[cudnn] bias and relu are computed apart from {}, which fails with them: {}",
                                        call.plan.engine, error.what()));
        fused->reset();
        operands.bias = nullptr;
      }
    }
    session_->run(stream, built.plain, operands);
    return epilogue.is_empty();
  }

 private:
  /// Does it once more, with what the cache can give back, where it fails: kernels are loaded when they first run.
  template <class Work>
  static auto with_room(const CudaBackend& backend, const Work& work) -> decltype(work()) {
    try {
      return work();
    } catch (const CudaError&) {
      if (is_sticky(cudaPeekAtLastError()) || Capture::current() != nullptr) throw;
      cudaGetLastError();
      backend.make_room();
      return work();
    }
  }

  /// The plan with what follows it, or null where there is none or nothing follows.
  std::optional<ExecutionPlan>* fused_for(const CudaBackend& backend, const ConvCall& call,
                                          const ConvEpilogue& epilogue, Built& built) {
    if (epilogue.is_empty()) return nullptr;
    auto& fused = built.fused[(epilogue.bias ? 1u : 0u) + (epilogue.relu ? 2u : 0u)];
    if (fused) return *fused ? &*fused : nullptr;
    std::string reason;
    const ConvQuery query{call.problem, call.pass, call.layout};
    try {
      fused = with_room(backend, [&] { return session_->fused(query, epilogue, call.plan, reason); });
    } catch (const CudaError& error) {
      if (is_sticky(cudaPeekAtLastError())) throw;
      cudaGetLastError();
      reason = error.what();
      fused.emplace();
    }
    if (*fused) return &*fused;
    if (epilogue.bias && !std::exchange(told_, true)) {
      memory::log_info(
          fmt::format("[cudnn] bias and relu have kernels of their own behind {} for {}, and maybe behind "
                      "others: {}",
                      call.plan.engine, describe(query), reason));
    }
    return nullptr;
  }

  Built& build(const ConvCall& call) {
    const ConvQuery query{call.problem, call.pass, call.layout};
    ExecutionPlan plan = session_->plan(query, call.plan.engine);
    const memory::Bytes workspace = plan.workspace();
    if (workspace > call.plan.workspace) {
      throw CudaError(
          fmt::format("[cudnn] engine {} for {} wants a workspace of {} bytes on this device, and {} were "
                      "decided on; this is an error of mnemo or of cuDNN {}",
                      call.plan.engine, describe(query), workspace, call.plan.workspace, cudnn_library().version));
    }
    Built& built = plans_.emplace_back(Built{std::move(plan), {}});
    if (call.plan.built != nullptr) call.plan.built->store(&built, std::memory_order_release);
    return built;
  }

  std::mutex mutex_;  // a session is one thread's at a time
  std::unique_ptr<Session> session_;
  std::deque<Built> plans_;
  bool told_ = false;  ///< that something is not fused
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<CudnnRunner>(); }

}  // namespace mnemo::cuda
