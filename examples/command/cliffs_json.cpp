#include <utility>

#include "command/cliffs.h"

namespace mnemo::command {

namespace {

Json to_json(const SurveyRow& row) {
  Json workspaces = Json::array();
  for (const PlannedPass& pass : row.passes) {
    workspaces.push_back({{"module", pass.module},
                          {"direction", name(pass.pass)},
                          {"engine", pass.engine},
                          {"workspace", pass.workspace},
                          {"estimated", pass.estimated}});
  }
  const bool oom = row.out_of_memory.has_value();
  Json object{{"batch", row.batch},
              {"size", row.size},
              {"peak_allocated", oom ? Json(nullptr) : Json(row.peak.allocated)},
              {"peak_reserved", oom ? Json(nullptr) : Json(row.peak_reserved)},
              {"estimated_workspaces", row.estimated()},
              {"workspaces", std::move(workspaces)}};
  if (!oom) return object;
  const OutOfMemory::Details& details = *row.out_of_memory;
  object["oom"] = {{"requested", details.requested}, {"allocated", details.allocated},
                   {"reserved", details.reserved},   {"phase", memory::name(details.tag.phase)},
                   {"op", details.tag.op},           {"module", details.tag.module}};
  return object;
}

Json to_json(const Cliff& cliff) {
  const PlannedPass *before = cliff.pass_before, *after = cliff.pass_after;
  const bool is_peak = cliff.metric == Cliff::Metric::peak_allocated;
  const auto known = [after](const auto& value) { return after != nullptr ? Json(value()) : Json(nullptr); };
  Json object{{"batch", cliff.batch},
              {"from", cliff.from},
              {"to", cliff.to},
              {"metric", is_peak ? "peak_allocated" : "workspace"},
              {"bytes", cliff.bytes()},
              {"before", cliff.before},
              {"after", cliff.after},
              {"module", known([&] { return after->module; })},
              {"direction", known([&] { return name(after->pass); })},
              {"engine_before", known([&] { return before->engine; })},
              {"engine_after", known([&] { return after->engine; })},
              {"workspace_before", known([&] { return before->workspace; })},
              {"workspace_after", known([&] { return after->workspace; })},
              {"estimated_workspaces", cliff.estimated}};
  if (is_peak) object["category"] = memory::name(cliff.category);
  if (is_peak) object["oom"] = cliff.out_of_memory;
  return object;
}

}  // namespace

Json to_json(const Survey& survey) {
  Json devices = Json::array(), skipped = Json::array();
  for (const DeviceSurvey& device : survey.devices) {
    Json rows = Json::array(), cliffs = Json::array();
    for (const SurveyRow& row : device.rows) rows.push_back(to_json(row));
    for (const Cliff& cliff : device.cliffs) cliffs.push_back(to_json(cliff));
    devices.push_back({{"device", device.device},
                       {"cudnn", device.cudnn},
                       {"source", device.source},
                       {"estimated_workspaces", device.estimated()},
                       {"rows", std::move(rows)},
                       {"cliffs", std::move(cliffs)}});
  }
  for (const SkippedSize& size : survey.skipped)
    skipped.push_back({{"batch", size.batch}, {"size", size.size}, {"reason", size.reason}});
  return {{"model", survey.workload->spec.name},
          {"dtype", name(survey.workload->dtype)},
          {"policy", policy_text(survey.workload->policy)},
          {"devices", std::move(devices)},
          {"skipped", std::move(skipped)}};
}

}  // namespace mnemo::command
