#include "training/recorded_run.h"

#include <utility>

#include <fmt/format.h>

namespace mnemo::training {

std::optional<memory::Bytes> context_of(const Device& device) {
  constexpr std::string_view kVirtual = "virtual:";
  std::string_view name = device.name();
  if (name.starts_with(kVirtual)) {
    name.remove_prefix(kVirtual.size());
    if (const Card* card = find_card(name.substr(0, name.find(',')))) return card->context;
  }
  if (name == "cpu" || name.starts_with("cpu:")) return 0;
  return std::nullopt;
}

memory::RecordingAbout about(const RunPlan& plan) {
  const Decisions& decisions = plan.device.backend().decisions();
  memory::RecordingAbout about{.device = plan.device.name(), .context = context_of(plan.device)};
  const auto say = [&](const char* key, std::string value) {
    if (!value.empty()) about.metadata.emplace_back(key, std::move(value));
  };
  say("command", plan.command);
  say("model", plan.spec.name);
  say("batch", fmt::format("{}", plan.batch));
  if (plan.size > 0) say("size", fmt::format("{}", plan.size));
  say("dtype", name(plan.dtype));
  say("optimizer", name(plan.rule));
  say("steps", fmt::format("{}", plan.steps));
  say("seed", fmt::format("{}", plan.seed));
  say("policy", describe(plan.policy));
  say("allocator", plan.device.allocator().config().text());
  say("decisions", decisions.source());
  say("cudnn", decisions.cudnn());
  return about;
}

RecordedRun record_run(const RunPlan& plan, memory::Ring ring) {
  const RandomState before = random_state();
  const DeviceScope on_device(plan.device);
  const ConvPolicyScope policy(plan.policy);
  memory::Recorder recorder = plan.record.empty()
                                  ? memory::record(plan.device.allocator(), ring, about(plan))
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
      trainer.emplace(plan.spec, plan.rule, plan.dtype);
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
