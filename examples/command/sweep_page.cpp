// A sweep as a page: small charts of all points, and the runs that are worth looking into.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "command/page.h"
#include "command/specification.h"
#include "command/sweep.h"

namespace mnemo::command {

namespace {

memory::ReportPoint point(const SurveyRow& row, std::int64_t at) {
  const bool fits = !row.out_of_memory;
  return {.label = std::to_string(at),
          .allocated = row.needed(),
          .reserved = fits ? row.peak_reserved : row.needed(),
          .fits = fits};
}

/// One chart for each value of `fixed`, in the order in which they come.
std::vector<memory::ReportSweep> charts(const Sweep& sweep, bool along_batch) {
  const char* axis = along_batch ? "batch" : "size";
  const std::string other = along_batch ? "size " : "batch ";
  const models::Spec& spec = sweep.survey.workload->spec;
  std::vector<memory::ReportSweep> charts;
  std::int64_t last = -1;
  // These have batch and size exchanged.
  for (const SurveyRow& row : along_batch ? sweep.by_size : sweep.device().rows) {
    if (row.batch != last)
      charts.push_back({other + (along_batch ? size_text(spec, row.batch) : fmt::format("{}", row.batch)),
                        sweep.device().capacity,
                        {},
                        axis});
    last = row.batch;
    memory::ReportPoint& added = charts.back().points.emplace_back(point(row, row.size));
    for (const Rise& rise : sweep.rises) {
      if (rise.along_batch == along_batch && rise.fixed == row.batch && rise.cliff.to == row.size)
        added.note = sentence(rise, spec);
    }
  }
  std::erase_if(charts, [](const memory::ReportSweep& chart) { return chart.points.size() < 2; });
  return charts;
}

/// Batch and size of a run.
using Point = std::pair<std::int64_t, std::int64_t>;

/// The runs that the page shows.
std::vector<Point> points(const Sweep& sweep) {
  if (!sweep.rises.empty()) {
    const Rise& rise = sweep.rises.front();
    if (rise.along_batch) return {{rise.cliff.from, rise.fixed}, {rise.cliff.to, rise.fixed}};
    return {{rise.fixed, rise.cliff.from}, {rise.fixed, rise.cliff.to}};
  }
  const std::vector<SurveyRow>& rows = sweep.device().rows;
  const auto largest = std::ranges::max_element(rows, {}, [](const SurveyRow& row) {
    return std::pair(!row.out_of_memory, row.needed());  // one that fits, if any does
  });
  return {{largest->batch, largest->size}};
}

std::string about(const Sweep& sweep, const std::vector<Point>& shown) {
  const std::vector<SurveyRow>& rows = sweep.device().rows;
  const models::Spec& spec = sweep.survey.workload->spec;
  const auto misfits = std::ranges::count_if(rows, [](const SurveyRow& row) { return row.out_of_memory.has_value(); });
  std::string text = fmt::format("Of {} points of the sweep, {}. ", rows.size(),
                                 misfits == 0 ? "all fit" : fmt::format("{} do not fit", misfits));
  if (sweep.rises.empty())
    return text + fmt::format(
                      "Nowhere does less need more. Shown below is the run with the largest peak: batch {}, "
                      "size {}.",
                      shown[0].first, size_text(spec, shown[0].second));
  return text + fmt::format("At {} of them less needs more. Shown below are the two sides of the largest rise: {}.",
                            sweep.rises.size(), sentence(sweep.rises.front(), spec));
}

}  // namespace

void write_page(const std::string& path, const Sweep& sweep, const std::string& model,
                const std::vector<std::string>& given) {
  std::vector<std::string> common = given;
  std::erase_if(common,
                [](const std::string& word) { return word.starts_with("--batch=") || word.starts_with("--size="); });
  const std::vector<Point> shown = points(sweep);
  std::vector<memory::ReportRun> runs;
  for (const auto& [batch, size] : shown) {
    std::string run = fmt::format("{} --batch={}", model, batch);
    if (size > 0) run += fmt::format(" --size={}", size);
    Subject subject = read_subject(run, common);
    runs.push_back({std::move(subject.recording), std::move(subject.name)});
  }
  memory::ReportText text{.answer = {about(sweep, shown)}, .sweeps = charts(sweep, false)};
  for (memory::ReportSweep& chart : charts(sweep, true)) text.sweeps.push_back(std::move(chart));
  write_page(path, std::move(runs), std::move(text));
}

}  // namespace mnemo::command
