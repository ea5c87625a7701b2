// recurrent_step: a unit of a row per thread.
#include <mnemo/core/visit_floating.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

template <class E, class Step>
__global__ void __launch_bounds__(kThreads) step_all(Step all, std::int64_t units) {
  const E zero = cast<E>(0.0F);
  for (std::int64_t i = first_item(); i < units; i += item_step())
    all.at(i / all.hidden, i % all.hidden, &zero).step(0);
}

template <class E, class Step>
void launch_step(const CudaBackend& backend, const Step& all, std::int64_t units) {
  launch(backend, blocks_for(backend, units), kThreads, step_all<E, Step>, all, units);
}

}  // namespace

void CudaBackend::recurrent_step(const RecurrentCall& call) {
  visit_floating(call.h.dtype(), [&](auto zero) {
    using E = decltype(zero);
    visit_unit<compute_type<E>>(
        call.kind, [&](auto unit) { launch_step<E>(*this, RecurrentStep<decltype(unit), E>(call), call.h.numel()); });
  });
}

void CudaBackend::recurrent_step_gradient(const RecurrentGradientCall& call) {
  visit_floating(call.dy.dtype(), [&](auto zero) {
    using E = decltype(zero);
    visit_unit<compute_type<E>>(call.kind, [&](auto unit) {
      launch_step<E>(*this, RecurrentStepGradient<decltype(unit), E>(call), call.dy.numel());
    });
  });
}

}  // namespace mnemo::cuda
