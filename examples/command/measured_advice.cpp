#include "command/measured_advice.h"

#include <fmt/format.h>

#include "training/fitting.h"
#include "training/parity.h"

namespace mnemo::command {

std::vector<memory::Advice> measured_advice(const training::RunPlan& run, memory::Bytes peak) {
  const std::string twin = training::twin_of(run.device);
  if (twin.empty()) return {};
  std::vector<memory::Advice> advice;
  const auto measure = [&](const char* action, const FitChoices& choices) {
    const DryRun dry = dry_run(
        without_limit(twin), [&] { training::train(run, choices); }, run.device.allocator().config());
    if (dry.peak_allocated >= peak) return;
    advice.push_back({action, "peak_allocated", peak - dry.peak_allocated,
                      fmt::format("a dry run so peaks at {}", memory::format_bytes(dry.peak_allocated))});
  };
  const training::TrainerOptions& training = run.training;
  if (!training.in_place) measure("activations in place (--in-place)", {.batch = run.batch, .in_place = true});
  const bool saves = training.rule != training::Rule::nothing && !training.graph;
  if (!training.offload && saves)
    measure("saved activations in host memory (--offload)", {.batch = run.batch, .offload = true});
  return advice;
}

}  // namespace mnemo::command
