#include <mnemo/core/virtual_backend.h>

#include <algorithm>
#include <limits>
#include <mutex>

#include <mnemo/memory/log.h>

namespace mnemo {

void VirtualBackend::read(const Array& from, void* host) {
  static std::once_flag said;
  std::call_once(said, [&] {
    memory::log_info("values read from the virtual device " + name() + " are NaN: nothing was computed");
  });
  visit(from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* values = static_cast<T*>(host);
    const T unknown = is_floating(dtype_of<T>()) ? cast<T>(std::numeric_limits<float>::quiet_NaN()) : T{};
    std::fill(values, values + from.numel(), unknown);
  });
}

namespace {

class EstimatedDecisions final : public Decisions {
 public:
  ConvPlan conv(const ConvProblem& problem, ConvPass, const ConvPolicy& policy) const override {
    if (policy.choice == ConvPolicy::Choice::gemm && unfolded_bytes(problem) <= policy.workspace_limit) {
      return {ConvAlgorithm::gemm, unfolded_bytes(problem), false};
    }
    // A convolution that is asked to have no workspace has none; only the library's own choice is unknown.
    return {ConvAlgorithm::direct, 0, policy.choice != ConvPolicy::Choice::direct};
  }
};

}  // namespace

std::shared_ptr<const Decisions> estimated_decisions() { return std::make_shared<EstimatedDecisions>(); }

}  // namespace mnemo
