// A sweep as a picture: panels over the batch and over the size, with the device's capacity where it is near.
#include <algorithm>

#include <fmt/format.h>

#include "command/line_chart.h"
#include "command/sweep.h"

namespace mnemo::command {

namespace {

enum Series : std::size_t { allocated, reserved, capacity };
/// Panels of one kind; more of them would be too small to read.
constexpr std::size_t kMostPanels = 3;

/// The first, the last and what lies between them at equal distances.
std::vector<std::int64_t> some_of(const std::vector<std::int64_t>& all) {
  if (all.size() <= kMostPanels) return all;
  std::vector<std::int64_t> some;
  for (std::size_t i = 0; i < kMostPanels; ++i) some.push_back(all[i * (all.size() - 1) / (kMostPanels - 1)]);
  return some;
}

/// `row.batch` is what stays, `row.size` what the panel runs over.
ChartPanel panel(const std::vector<SurveyRow>& rows, std::int64_t fixed, std::string title, const char* axis,
                 memory::Bytes limit) {
  ChartPanel panel{.title = std::move(title), .curves = {}, .x_title = axis};
  ChartCurve curves[] = {{allocated, {}}, {reserved, {}}, {capacity, {}}};
  memory::Bytes most = 0;
  for (const SurveyRow& row : rows) {
    if (row.batch != fixed) continue;
    const bool missing = row.out_of_memory.has_value();
    const auto add = [&](ChartCurve& curve, memory::Bytes bytes, const char* what) {
      const std::string amount = missing ? "out of memory" : memory::format_bytes(bytes);
      curve.points.push_back({.x = row.size,
                              .bytes = missing ? row.needed() : bytes,
                              .title = fmt::format("{} {}, {}: {}", axis, row.size, what, amount),
                              .estimated = row.estimated() > 0,
                              .missing = missing});
    };
    add(curves[0], row.peak.allocated, "peak allocated");
    add(curves[1], row.peak_reserved, "peak reserved");
    curves[2].points.push_back({.x = row.size, .bytes = limit, .title = "capacity " + memory::format_bytes(limit)});
    most = std::max(most, missing ? limit : row.peak_reserved);
  }
  panel.curves.push_back(std::move(curves[1]));
  panel.curves.push_back(std::move(curves[0]));
  // Far above the curves it would press them to the ground.
  if (limit > 0 && most > limit / 4) panel.curves.push_back(std::move(curves[2]));
  return panel;
}

}  // namespace

std::string svg(const Sweep& sweep) {
  const DeviceSurvey& device = sweep.device();
  const Workload& workload = *sweep.survey.workload;
  LineChart chart;
  chart.title = fmt::format("{}: memory of a training step on {}", workload.spec.name, device.device);
  chart.subtitle =
      fmt::format("{}, {}, policy {}", name(workload.dtype), training::name(sweep.rule), policy_text(workload.policy));
  chart.series = {{.name = "peak allocated", .colour = 0},
                  {.name = "peak reserved", .colour = 1},
                  {.name = "capacity", .colour = 6, .dash = 1}};
  if (sweep.survey.sizes.size() > 1 || sweep.survey.batches.size() == 1) {
    for (const std::int64_t batch : some_of(sweep.survey.batches))
      chart.panels.push_back(panel(device.rows, batch, fmt::format("batch {}", batch), "size", device.capacity));
  }
  if (sweep.survey.batches.size() > 1) {
    for (const std::int64_t size : some_of(sweep.survey.sizes))
      chart.panels.push_back(
          panel(sweep.by_size, size, "size " + size_text(workload.spec, size), "batch", device.capacity));
  }
  std::erase_if(chart.panels, [](const ChartPanel& panel) { return panel.curves.front().points.empty(); });
  const auto any = [&chart](auto is) {
    for (const ChartPanel& panel : chart.panels) {
      for (const ChartCurve& curve : panel.curves) {
        if (std::ranges::any_of(curve.points, is)) return true;
      }
    }
    return false;
  };
  if (any([](const ChartPoint& point) { return point.missing; })) chart.missing_means = "out of memory";
  if (any([](const ChartPoint& point) { return point.estimated; })) chart.estimated_means = "workspace estimated";
  if (!sweep.rises.empty()) chart.fall_means = "less needs more";
  const bool has_limit =
      std::ranges::any_of(chart.panels, [](const ChartPanel& panel) { return panel.curves.size() > 2; });
  if (!has_limit) {
    chart.series.pop_back();
    if (device.capacity > 0)
      chart.notes.push_back(fmt::format("The capacity, {}, lies far above.", memory::format_bytes(device.capacity)));
  }
  return chart.svg();
}

}  // namespace mnemo::command
