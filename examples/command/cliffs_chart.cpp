// The picture of --svg: the step's peak and the workspaces against the size.
#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command/cliffs.h"
#include "command/line_chart.h"
#include "command/numbers.h"

namespace mnemo::command {

namespace {

/// The point of a row; `below` is the row of the next smaller size, or null.
using PointOf = std::function<ChartPoint(const SurveyRow& row, const SurveyRow* below)>;

ChartPoint peak_point(const SurveyRow& row, const SurveyRow* below, bool lone_layer) {
  ChartPoint point{
      .x = row.size, .bytes = row.needed(), .estimated = row.estimated() > 0, .missing = row.out_of_memory.has_value()};
  if (point.missing) {
    point.title =
        fmt::format("out of memory: asked for {} with {} allocated", memory::format_bytes(row.out_of_memory->requested),
                    memory::format_bytes(row.out_of_memory->allocated));
    return point;
  }
  const memory::Tag& tag = row.peak.tag;
  point.title = fmt::format("{}, reached in {}{}{}", memory::format_bytes(point.bytes), memory::name(tag.phase),
                            *tag.module ? " of " : "", tag.module);
  // In a deep model some engine changes everywhere. The data gradient of a lone layer is no part of its step.
  for (std::size_t i = 0; lone_layer && below != nullptr && i < row.passes.size(); ++i) {
    const std::string now = short_engine(row.passes[i].engine), before = short_engine(below->passes[i].engine);
    if (row.passes[i].pass == ConvPass::data_gradient || now == before) continue;
    point.changed = true;
    point.title += fmt::format("; {}: {} instead of {}", name(row.passes[i].pass), now, before);
  }
  return point;
}

ChartPoint workspace_point(const SurveyRow& row, const PlannedPass* pass, const PlannedPass* before) {
  if (pass == nullptr) return {.x = row.size, .title = "no convolution"};
  ChartPoint point{.x = row.size, .bytes = pass->workspace, .estimated = pass->estimated, .vague = pass->estimated};
  point.title = fmt::format("{}{}, {} {}: {}", memory::format_bytes(pass->workspace),
                            pass->estimated ? " (estimated)" : "", pass->module, name(pass->pass), pass->engine);
  if (before == nullptr) return point;
  const bool elsewhere = before->module != pass->module || before->pass != pass->pass;
  point.changed = elsewhere || short_engine(before->engine) != short_engine(pass->engine);
  if (point.changed)
    point.title +=
        fmt::format(" instead of {}{}", elsewhere ? fmt::format("{} {}: ", before->module, name(before->pass)) : "",
                    before->engine);
  return point;
}

ChartPanel panel(const Survey& survey, const std::string& title, const std::vector<ChartSeries>& series,
                 const PointOf& point_of) {
  ChartPanel panel{.title = title, .curves = {}};
  for (const DeviceSurvey& device : survey.devices) {
    const SurveyRow* below = nullptr;
    std::int64_t batch = 0;
    for (const SurveyRow& row : device.rows) {
      if (row.batch != batch) {
        panel.curves.push_back({panel.curves.size(), {}});
        below = nullptr;
        batch = row.batch;
      }
      ChartPoint point = point_of(row, below);
      point.title = fmt::format("{}, size {}: {}", series[panel.curves.back().series].name, row.size, point.title);
      panel.curves.back().points.push_back(std::move(point));
      below = &row;
    }
  }
  return panel;
}

/// One for every device and batch: the colour says which device, the dash which batch.
std::vector<ChartSeries> all_series(const Survey& survey) {
  std::vector<ChartSeries> series;
  for (std::size_t i = 0; i < survey.devices.size(); ++i) {
    const DeviceSurvey& device = survey.devices[i];
    std::size_t number = 0;
    std::int64_t batch = 0;
    for (const SurveyRow& row : device.rows) {
      if (row.batch == batch) continue;
      batch = row.batch;
      const bool several = survey.batches.size() > 1;
      const bool by_device = survey.devices.size() > 1;
      series.push_back({.name = several ? fmt::format("{}, batch {}", device.device, batch) : device.device,
                        .colour = by_device ? i : number,
                        .dash = by_device ? number : 0});
      ++number;
    }
  }
  return series;
}

/// ", decisions of cuDNN 9.19.0"; devices whose workspaces are estimated have a note of their own.
std::string libraries(const Survey& survey) {
  std::vector<std::string> sources;
  for (const DeviceSurvey& device : survey.devices) {
    if (!device.cudnn.empty() && std::ranges::find(sources, device.source) == sources.end())
      sources.push_back(device.source);
  }
  return sources.empty() ? "" : fmt::format(", decisions of {}", fmt::join(sources, " and "));
}

/// Sets what the symbols mean, of those that are there.
void explain_symbols(LineChart& chart) {
  for (const ChartPanel& panel : chart.panels) {
    for (const ChartCurve& curve : panel.curves) {
      for (std::size_t i = 0; i < curve.points.size(); ++i) {
        const ChartPoint& point = curve.points[i];
        if (point.changed) chart.changed_means = "another engine than at the next smaller size";
        if (point.estimated) chart.estimated_means = "workspace estimated";
        if (point.missing) chart.missing_means = "out of memory";
        const ChartPoint* before = i > 0 ? &curve.points[i - 1] : nullptr;
        if (before != nullptr && is_fall(*before, point)) chart.fall_means = "a smaller size needs more";
      }
    }
  }
}

}  // namespace

std::string svg(const Survey& survey) {
  const Workload& workload = *survey.workload;
  LineChart chart{.title = workload.spec.name + ": memory against the size of the input",
                  .subtitle = fmt::format(
                      "{}, policy {}{}{}", name(workload.dtype), policy_text(workload.policy), libraries(survey),
                      survey.batches.size() > 1 ? "" : fmt::format(", batch {}", survey.batches[0])),
                  .x_title = "size",
                  .series = all_series(survey),
                  .panels = {},
                  .changed_means = {},
                  .missing_means = {},
                  .fall_means = {},
                  .estimated_means = {},
                  .notes = {}};
  const bool lone = survey.lone_layer;
  const auto add = [&](const std::string& title, const PointOf& point_of) {
    chart.panels.push_back(panel(survey, title, chart.series, point_of));
  };
  add("Peak of the whole training step",
      [lone](const SurveyRow& row, const SurveyRow* below) { return peak_point(row, below, lone); });
  const std::vector<PlannedPass>& passes = survey.devices.front().rows.front().passes;
  for (std::size_t i = 0; lone && i < passes.size(); ++i) {
    std::string direction = name(passes[i].pass);
    std::ranges::replace(direction, '_', ' ');
    add(fmt::format("Workspace of the {}{}", direction, direction == "forward" ? " pass" : ""),
        [i](const SurveyRow& row, const SurveyRow* below) {
          return workspace_point(row, &row.passes[i], below == nullptr ? nullptr : &below->passes[i]);
        });
  }
  if (!lone && !passes.empty()) {
    add("Largest workspace", [](const SurveyRow& row, const SurveyRow* below) {
      return workspace_point(row, row.largest(), below == nullptr ? nullptr : below->largest());
    });
  }
  explain_symbols(chart);
  for (const DeviceSurvey& device : survey.devices) {
    if (device.estimated() > 0)
      chart.notes.push_back(fmt::format("workspace estimated on {}: {} of {} passes", device.device,
                                        grouped(device.estimated()), grouped(device.passes())));
  }
  if (!survey.skipped.empty())
    chart.notes.push_back(fmt::format("{} combinations of batch and size that the model does not take are left out",
                                      survey.skipped.size()));
  return chart.svg();
}

}  // namespace mnemo::command
