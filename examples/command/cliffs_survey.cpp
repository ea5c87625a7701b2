#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "command/cliffs.h"
#include "training/recorded_run.h"

namespace mnemo::command {

namespace {

PlannedPass planned(const models::ConvPassOf& of, const Decisions& decisions, const ConvPolicy& policy) {
  const ConvPlan plan = decisions.conv(of.problem, of.pass, policy);
  return {.module = of.module,
          .pass = of.pass,
          .engine = plan.algorithm == ConvAlgorithm::library ? plan.engine : name(plan.algorithm),
          .workspace = plan.workspace,
          .estimated = plan.estimated};
}

/// What a pass that is computed in pieces takes is known from the pieces that ran; if none did, it is not known.
void complete(PlannedPass& planned, const ConvTrace& trace) {
  if (planned.engine != name(ConvAlgorithm::split)) return;
  planned.estimated = true;
  for (const ConvTrace::Entry& piece : trace.entries()) {
    if (piece.module != planned.module || piece.pass != planned.pass) continue;
    if (!planned.estimated && piece.plan.workspace <= planned.workspace) continue;
    const bool library = piece.plan.algorithm == ConvAlgorithm::library;
    planned.engine = fmt::format("split: {}", library ? piece.plan.engine : name(piece.plan.algorithm));
    planned.workspace = piece.plan.workspace;
    planned.estimated = piece.plan.estimated;
  }
}

/// Writes down what happens at one point, if there is a folder for it.
std::optional<memory::Recorder> recorder_of(const Workload& workload, const Device& device, std::int64_t batch,
                                            std::int64_t size, training::Rule rule, const std::string& folder) {
  if (folder.empty()) return std::nullopt;
  const training::RunPlan plan{.spec = workload.spec,
                               .training = {.rule = rule, .dtype = workload.dtype},
                               .policy = workload.policy,
                               .batch = batch,
                               .size = size,
                               .device = device,
                               .command = "mnemo sweep " + workload.spec.name};
  const std::string edge = size > 0 ? fmt::format("{}", size) : size_text(workload.spec, size);
  const std::string file = fmt::format("batch-{}-size-{}.mnemo", batch, edge);
  return memory::record(device.allocator(), (std::filesystem::path(folder) / file).string(), training::about(plan));
}

SurveyRow measure(const Workload& workload, const std::string& name, const std::vector<models::ConvPassOf>& passes,
                  std::int64_t batch, std::int64_t size, training::Rule rule, const std::string& folder) {
  const Device device = open_device(name, workload.policy);
  const DeviceScope on_device(device);
  const ConvPolicyScope policy(workload.policy);
  SurveyRow row{.batch = batch, .size = size};
  for (const models::ConvPassOf& pass : passes)
    row.passes.push_back(planned(pass, device.backend().decisions(), workload.policy));
  const ConvTrace trace;
  std::optional<memory::Recorder> recorder = recorder_of(workload, device, batch, size, rule, folder);
  try {
    training::Trainer trainer(workload.spec, rule, workload.dtype);
    trainer.step(batch, size);
    const training::StepReport step = trainer.step(batch, size);
    row.peak = step.peak;
    row.peak_reserved = step.peak_reserved;
    row.allocated = step.allocated;
  } catch (const OutOfMemory& error) {
    row.out_of_memory = error.details();
  }
  if (recorder) recorder->stop();
  for (PlannedPass& pass : row.passes) complete(pass, trace);
  return row;
}

/// The passes of every batch and size that the model takes; the others are put down as skipped.
struct Place {
  std::int64_t batch, size;
  std::vector<models::ConvPassOf> passes;
};

std::vector<Place> find_places(const Workload& workload, Survey& survey) {
  const models::Spec& spec = workload.spec;
  std::vector<Place> places;
  for (const std::int64_t batch : survey.batches) {
    for (const std::int64_t size : survey.sizes) {
      if (!takes_size(spec, size)) {
        survey.skipped.push_back({batch, size, fmt::format("{} takes --size {}", spec.name, spec.sizes.text())});
        continue;
      }
      try {
        places.push_back({batch, size, models::conv_passes(spec, workload.dtype, batch, size)});
      } catch (const ShapeError& error) {
        survey.skipped.push_back({batch, size, error.what()});
      }
    }
  }
  return places;
}

}  // namespace

memory::Bytes SurveyRow::needed() const {
  return out_of_memory ? out_of_memory->allocated + out_of_memory->requested : peak.allocated;
}

const PlannedPass* SurveyRow::largest() const {
  const auto found = std::max_element(passes.begin(), passes.end(), [](const PlannedPass& a, const PlannedPass& b) {
    return a.workspace < b.workspace;
  });
  return found == passes.end() ? nullptr : &*found;
}

std::int64_t SurveyRow::estimated() const {
  return std::count_if(passes.begin(), passes.end(), [](const PlannedPass& pass) { return pass.estimated; });
}

std::int64_t DeviceSurvey::estimated() const {
  std::int64_t count = 0;
  for (const SurveyRow& row : rows) count += row.estimated();
  return count;
}

std::int64_t DeviceSurvey::passes() const {
  std::int64_t count = 0;
  for (const SurveyRow& row : rows) count += static_cast<std::int64_t>(row.passes.size());
  return count;
}

Survey survey(const Workload& workload, const std::vector<std::string>& devices,
              const std::vector<std::int64_t>& batches, const std::vector<std::int64_t>& sizes, training::Rule rule,
              const std::string& record) {
  Survey survey{
      .workload = &workload, .batches = batches, .sizes = sizes, .lone_layer = false, .devices = {}, .skipped = {}};
  // Opened first: a wrong name is refused before any work.
  for (const std::string& name : devices) {
    const Device device = open_device(name, workload.policy);
    check_layout(workload, device);
    const Decisions& decisions = device.backend().decisions();
    survey.devices.push_back(
        {name, decisions.cudnn(), decisions.source(), device.allocator().source().capacity(), {}, {}});
  }
  const std::vector<Place> places = find_places(workload, survey);
  if (places.empty()) throw UsageError(survey.skipped.front().reason);
  check_folder("--record", record);
  survey.lone_layer = models::is_lone_layer(places.front().passes);
  for (DeviceSurvey& device : survey.devices) {
    for (const Place& place : places)
      device.rows.push_back(measure(workload, device.device, place.passes, place.batch, place.size, rule, record));
    device.cliffs = find_cliffs(device.rows);
  }
  return survey;
}

}  // namespace mnemo::command
