#include "command/page.h"

#include <fstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/output.h"

namespace mnemo::command {

namespace {

memory::ReportSum sum_of(const char* title, const memory::Change& change) {
  memory::ReportSum sum{.title = title, .from = change.a, .to = change.b};
  for (const memory::Cause& cause : change.causes)
    sum.parts.push_back({cause.cause, cause.bytes, cause.where, cause.evidence});
  return sum;
}

void add_difference(const memory::ReportRun& a, const memory::ReportRun& b, memory::ReportText& text) {
  const memory::Difference difference = memory::difference(a.recording, b.recording);
  text.answer.insert(text.answer.begin(), difference.answer);
  text.sums = {sum_of("peak allocated", difference.peak_allocated), sum_of("peak reserved", difference.peak_reserved),
               sum_of("device use", difference.device_use)};
}

/// What holds a peak is not among the answers: the page says it itself, with figures that are links.
memory::ReportTable layers_of(const memory::Recording& recording) {
  memory::ReportTable table{.columns = {"module", "op", "output", "its bytes by formula", "its block", "parameters",
                                        "saved for backward", "workspace", "all at the peak", "algorithm"}};
  const auto size = [](memory::Bytes bytes) {
    return bytes == 0 ? std::string() : fmt::format("{} B", memory::grouped(bytes));
  };
  for (const memory::LayerRow& row : memory::explain(recording).layers) {
    const memory::OutputNote& output = row.output;
    table.rows.push_back({row.module, row.op, output.shape.empty() ? "" : output.shape + " " + output.dtype,
                          output.formula, output.measured == 0 ? "" : memory::grouped(output.measured),
                          size(row.parameters), size(row.saved), size(row.workspace), size(row.at_peak),
                          row.algorithm});
  }
  return table;
}

}  // namespace

void add_page_option(CLI::App& verb, std::string& path) {
  verb.add_option("--report", path, "Also write a page for a browser to this file, such as report.html.");
}

void write_page(const std::string& path, std::vector<memory::ReportRun> runs, memory::ReportText text) {
  for (memory::ReportRun& run : runs) run.layers = layers_of(run.recording);
  if (runs.size() == 2) add_difference(runs[0], runs[1], text);
  std::ofstream page(path, std::ios::binary | std::ios::trunc);
  if (page) memory::write_report(page, runs, text);
  page.close();
  if (!page) throw OutputError(path + ": cannot be written");
}

}  // namespace mnemo::command
