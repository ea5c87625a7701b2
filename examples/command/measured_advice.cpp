#include "command/measured_advice.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "training/fitting.h"
#include "training/parity.h"

namespace mnemo::command {

namespace {

using training::Rule;
using training::RunPlan;

struct Change {
  std::string action;
  RunPlan run;
};

/// 1, 2, 4, ... equal segments, at most one for each stage.
std::vector<std::size_t> segment_counts(std::size_t stages) {
  std::vector<std::size_t> counts;
  for (std::size_t count = 1; count <= stages; count *= 2) counts.push_back(count);
  return counts;
}

/// What can be changed of a run and still be run; the steps that are left are those that its memory needs to settle, a
/// recorded step's repetition included.
std::vector<Change> changes(RunPlan run, std::size_t stages) {
  run.steps = std::min<std::int64_t>(run.steps, 3);
  const training::TrainerOptions& now = run.training;
  std::vector<Change> list;
  const auto change = [&](std::string action) -> RunPlan& {
    return list.emplace_back(Change{std::move(action), run}).run;
  };
  if (!now.in_place) change("activations in place (--in-place)").training.in_place = true;
  change("convolutions without workspace (--workspace 0)").training.workspace = parse_workspace_limits("0");
  if (now.dtype == DType::float32 || now.dtype == DType::float64) {
    RunPlan& half = change("half precision (--dtype bfloat16)");
    half.training.dtype = DType::bfloat16;
    half.training.amp.reset();
  }
  if (now.dtype == DType::float32 && !now.amp) change("autocast (--amp bf16)").training.amp = DType::bfloat16;
  if (now.rule == Rule::nothing) return list;
  if (!now.offload && !now.graph) change("saved activations in host memory (--offload)").training.offload = true;
  if (now.rule != Rule::sgd) change("an optimizer without state (--optimizer sgd)").training.rule = Rule::sgd;
  if (now.rule == Rule::adam) change("optimizer state in 8 bits (--optimizer adam8bit)").training.rule = Rule::adam8bit;
  if (!now.step_in_backward && now.accumulate == 1 && !now.recover && now.amp != DType::float16)
    change("update each parameter during backward (--optimizer-in-backward)").training.step_in_backward = true;
  if (!run.checkpoint) {
    for (const std::size_t segments : segment_counts(stages))
      change(fmt::format("checkpoints (--checkpoint {})", segments)).checkpoint = even_segments(stages, segments);
  }
  return list;
}

}  // namespace

std::optional<std::vector<memory::Advice>> measured_advice(const RunPlan& run, memory::Bytes peak) {
  const std::string twin = training::twin_of(run.device);
  if (twin.empty()) return std::nullopt;
  const auto dry = [&](const std::function<void()>& program) {
    return dry_run(without_limit(twin), program, run.device.allocator().config()).peak_allocated;
  };
  std::size_t stages = 0;
  dry([&] { stages = run.spec.make()->stages().size(); });
  std::vector<memory::Advice> advice;
  std::optional<memory::Advice> checkpoints;  // the best of them
  for (const auto& [action, changed] : changes(run, stages)) {
    const memory::Bytes left = dry([&changed = changed] { training::train(changed); });
    if (left >= peak) continue;
    memory::Advice one{action, "peak_allocated", peak - left,
                       fmt::format("a dry run so peaks at {}", memory::format_bytes(left)), true};
    if (changed.checkpoint == run.checkpoint)
      advice.push_back(std::move(one));
    else if (!checkpoints || one.bytes > checkpoints->bytes)
      checkpoints = std::move(one);
  }
  if (checkpoints) advice.push_back(std::move(*checkpoints));
  return advice;
}

}  // namespace mnemo::command
