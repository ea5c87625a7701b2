// recurrent_step: units of a layer side by side, some of a row at a time.
#include <algorithm>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/independent.h>
#include <mnemo/core/threads.h>
#include <mnemo/core/visit_floating.h>

namespace mnemo::cpu {

namespace {

constexpr std::int64_t kUnits = 256;   ///< at a time
constexpr std::int64_t kGrain = 2048;  ///< units per thread: about the cost of waking one

template <class Step, class E>
void step_all(const Step& all, std::int64_t rows) {
  static const E zeros[kUnits] = {};
  const std::int64_t pieces = (all.hidden + kUnits - 1) / kUnits;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::min(all.hidden, kUnits));
  parallel_for(rows * pieces, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t first = piece % pieces * kUnits, count = std::min(kUnits, all.hidden - first);
      const auto place = all.at(piece / pieces, first, zeros);
      MNEMO_INDEPENDENT
      for (std::int64_t i = 0; i < count; ++i) place.step(i);
    }
  });
}

}  // namespace

void CpuBackend::recurrent_step(const RecurrentCall& call) {
  visit_floating(call.h.dtype(), [&](auto zero) {
    using E = decltype(zero);
    visit_unit<compute_type<E>>(call.kind, [&](auto unit) {
      using Step = RecurrentStep<decltype(unit), E>;
      step_all<Step, E>(Step(call), call.h.size(0));
    });
  });
}

void CpuBackend::recurrent_step_gradient(const RecurrentGradientCall& call) {
  visit_floating(call.dy.dtype(), [&](auto zero) {
    using E = decltype(zero);
    visit_unit<compute_type<E>>(call.kind, [&](auto unit) {
      using Step = RecurrentStepGradient<decltype(unit), E>;
      step_all<Step, E>(Step(call), call.dy.size(0));
    });
  });
}

}  // namespace mnemo::cpu
