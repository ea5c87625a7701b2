#include "training/recorded_run.h"

#include <utility>

#include <fmt/format.h>

namespace mnemo::training {

memory::RecordingAbout about(const RunPlan& plan) {
  const Decisions& decisions = plan.device.backend().decisions();
  memory::RecordingAbout about{.device = plan.device.name(), .context = memory::context(plan.device)};
  const auto say = [&](const char* key, std::string value) {
    if (!value.empty()) about.metadata.emplace_back(key, std::move(value));
  };
  say("command", plan.command);
  say("model", plan.spec.name);
  say("batch", fmt::format("{}", plan.batch));
  if (plan.size > 0) say("size", fmt::format("{}", plan.size));
  say("dtype", name(plan.training.dtype));
  say("optimizer", name(plan.training.rule));
  if (plan.training.lr) say("lr", fmt::format("{}", *plan.training.lr));
  if (plan.training.step_in_backward) say("updates", "in backward");
  if (plan.training.amp) say("amp", name(*plan.training.amp));
  if (plan.training.accumulate > 1) say("accumulate", fmt::format("{}", plan.training.accumulate));
  if (plan.checkpoint) say("checkpoints", plan.checkpoint->text());
  say("steps", fmt::format("{}", plan.steps));
  say("seed", fmt::format("{}", plan.seed));
  say("policy", describe(plan.policy));
  say("workspaces", plan.training.workspace.text());
  say("allocator", plan.device.allocator().config().text());
  say("decisions", decisions.source());
  say("cudnn", decisions.cudnn());
  return about;
}

RecordedRun record_run(const RunPlan& plan, memory::Ring ring) {
  const RandomState before = random_state();
  const DeviceScope on_device(plan.device);
  const ConvPolicyScope policy(plan.policy);
  memory::Recorder recorder = plan.record.empty() ? memory::record(plan.device.allocator(), ring, about(plan))
                                                  : memory::record(plan.device.allocator(), plan.record, about(plan));
  const auto recorded = [&] {
    if (plan.record.empty()) return recorder.recording();
    recorder.stop();
    return memory::Recording::read(plan.record);
  };
  std::optional<OutOfMemory> out_of_memory;
  std::optional<memory::Recording> recording;
  try {
    manual_seed(plan.seed);
    std::optional<Trainer> trainer;
    {
      const memory::PhaseScope setup(memory::Phase::setup);
      trainer.emplace(plan.spec, plan.training);
      trainer->checkpoint(plan.checkpoint);
    }
    for (std::int64_t step = 0; step < plan.steps; ++step) trainer->step(plan.batch, plan.size);
    recording = recorded();
  } catch (const OutOfMemory& error) {
    out_of_memory = error;
  } catch (...) {
    set_random_state(before);
    throw;
  }
  set_random_state(before);
  if (!recording) recording = recorded();
  return {*recording, std::move(out_of_memory), plan.device.backend().estimated_plans()};
}

}  // namespace mnemo::training
