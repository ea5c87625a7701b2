// Convolutions by cuDNN: each plan is built when it first runs, and found again through ConvPlan::built. Bias and relu
// go into it where the library has the same kernel with them.
#include <mnemo/cuda/device/conv_runner.h>

#include <array>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/cudnn/session.h>
#include <mnemo/cuda/device/room.h>
#include <mnemo/cuda/kernels/multiply.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

namespace {

void* address(const Array& array) {
  return array.defined() ? array.storage()->data() + array.layout().offset * size_of(array.dtype()) : nullptr;
}

/// What is built for one plan. It lives as long as the runner.
struct Built {
  std::optional<ExecutionPlan> plain;  ///< none where the library fails: mnemo's own kernels compute it
  std::array<std::optional<std::optional<ExecutionPlan>>, 4> fused;  ///< by epilogue; those that were looked for
};

class CudnnRunner final : public ConvRunner {
 public:
  bool run(const CudaBackend& backend, const ConvCall& call) override {
    cudaStream_t stream = backend.stream();
    const std::lock_guard lock(mutex_);
    const void* known = call.plan.built != nullptr ? call.plan.built->load(std::memory_order_acquire) : nullptr;
    Built& built = known != nullptr ? *static_cast<Built*>(const_cast<void*>(known)) : build(backend, call);
    Operands operands{address(call.x), address(call.w), address(call.y), address(call.workspace)};
    const ConvEpilogue epilogue{.bias = call.bias.defined(), .relu = call.relu};
    if (std::optional<ExecutionPlan>* fused = fused_for(backend, call, epilogue, built)) {
      operands.bias = address(call.bias);
      try {
        with_room(backend, [&] { session_->run(stream, **fused, operands); });
        return true;
      } catch (const CudaError& error) {
        if (!is_over()) throw;
        memory::log_warning(fmt::format("[cudnn] bias and relu are computed apart from {}, which fails with them: {}",
                                        call.plan.engine, error.what()));
        fused->reset();
        operands.bias = nullptr;
      }
    }
    if (built.plain) {
      try {
        with_room(backend, [&] { session_->run(stream, *built.plain, operands); });
        return epilogue.is_empty();
      } catch (const CudaError& error) {
        if (!is_over()) throw;
        give_up(built, call, error.what());
      }
    }
    ConvCall own = call;
    own.bias = {};
    conv_direct(backend, own);
    return epilogue.is_empty();
  }

 private:
  /// The plan with what follows it, or null where there is none or nothing follows.
  std::optional<ExecutionPlan>* fused_for(const CudaBackend& backend, const ConvCall& call,
                                          const ConvEpilogue& epilogue, Built& built) {
    if (epilogue.is_empty() || !built.plain) return nullptr;
    auto& fused = built.fused[(epilogue.bias ? 1u : 0u) + (epilogue.relu ? 2u : 0u)];
    if (fused) return *fused ? &*fused : nullptr;
    std::string reason;
    const ConvQuery query{call.problem, call.pass, call.layout};
    try {
      fused = with_room(backend, [&] { return session_->fused(query, epilogue, call.plan, reason); });
    } catch (const CudaError& error) {
      if (!is_over()) throw;
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

  Built& build(const CudaBackend& backend, const ConvCall& call) {
    Built& built = plans_.emplace_back();
    try {
      built.plain = with_room(backend, [&] { return plan_of(backend, call); });
    } catch (const CudaError& error) {
      if (!is_over()) throw;
      give_up(built, call, error.what());
    }
    if (call.plan.built != nullptr) call.plan.built->store(&built, std::memory_order_release);
    return built;
  }

  ExecutionPlan plan_of(const CudaBackend& backend, const ConvCall& call) {
    if (!session_) session_ = std::make_unique<Session>(backend.index());
    return session_->plan({call.problem, call.pass, call.layout}, call.plan.engine, call.plan.workspace);
  }

  /// The step goes on, slower: what an engine does is not known until it runs.
  static void give_up(Built& built, const ConvCall& call, const char* reason) {
    built.plain.reset();
    memory::log_warning(fmt::format("[cudnn] the engine {} fails for {}, which mnemo's own kernels compute now: {}",
                                    call.plan.engine, describe({call.problem, call.pass, call.layout}), reason));
  }

  std::mutex mutex_;  // a session is one thread's at a time
  std::unique_ptr<Session> session_;
  std::deque<Built> plans_;
  bool told_ = false;  ///< that something is not fused
};

}  // namespace

std::unique_ptr<ConvRunner> open_conv_runner() { return std::make_unique<CudnnRunner>(); }

}  // namespace mnemo::cuda
