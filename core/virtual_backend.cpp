#include <mnemo/core/virtual_backend.h>

#include <algorithm>
#include <limits>
#include <mutex>

#include <mnemo/core/sorting.h>
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
    using Choice = ConvPolicy::Choice;
    // Only the library's own choice is unknown.
    if (policy.choice == Choice::gemm || policy.choice == Choice::direct) return own_plan(problem, policy);
    return {.estimated = true};
  }
  RankedPlans plans(const ConvProblem& problem, ConvPass, const ConvPolicy&) const override {
    return own_plans(problem);
  }
  memory::Bytes sort_workspace(const SortSizes& sizes, DType dtype) const override {
    return gpu_sort_workspace(sizes, dtype);
  }
  std::string source() const override {
    return "estimated: a device of this size is no card whose library can be asked";
  }
};

}  // namespace

std::shared_ptr<const Decisions> estimated_decisions() { return std::make_shared<EstimatedDecisions>(); }

}  // namespace mnemo
