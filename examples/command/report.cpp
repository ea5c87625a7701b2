// mnemo report: recordings as one page for a browser.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/trace_file.h"

namespace mnemo::command {

namespace {

struct ReportOptions {
  std::vector<std::string> files;
  std::string output;
};

using memory::format_bytes;

memory::ReportSum sum_of(const char* title, const memory::Change& change) {
  memory::ReportSum sum{.title = title, .from = change.a, .to = change.b};
  for (const memory::Cause& cause : change.causes)
    sum.parts.push_back({cause.cause, cause.bytes, cause.where, cause.evidence});
  return sum;
}

/// Of two runs: what changed, as `mnemo diff` says it. What holds each peak the page says itself.
void add_difference(const memory::ReportRun& a, const memory::ReportRun& b, memory::ReportText& text) {
  const memory::Difference difference = memory::difference(a.recording, b.recording);
  text.answer.push_back(difference.answer);
  text.sums = {sum_of("peak allocated", difference.peak_allocated), sum_of("peak reserved", difference.peak_reserved),
               sum_of("device use", difference.device_use)};
}

/// Of one run: its layers, as `mnemo explain` says it. The answer is the page's own, whose figures are links.
void add_layers(const memory::ReportRun& run, memory::ReportText& text) {
  text.layers.columns = {"module", "op", "output", "parameters", "saved", "workspace", "at the peak", "algorithm"};
  for (const memory::LayerRow& row : memory::explain(run.recording).layers) {
    text.layers.rows.push_back({row.module, row.op,
                                row.output.shape.empty() ? "" : row.output.shape + " " + row.output.dtype,
                                format_bytes(row.parameters), format_bytes(row.saved), format_bytes(row.workspace),
                                format_bytes(row.at_peak), row.algorithm});
  }
}

int write(const ReportOptions& options) {
  std::vector<memory::ReportRun> runs;
  for (const std::string& file : options.files) {
    runs.push_back({read_recording(file), std::filesystem::path(file).stem().string()});
  }
  memory::ReportText text;
  if (runs.size() == 2)
    add_difference(runs[0], runs[1], text);
  else
    add_layers(runs[0], text);
  std::ofstream page(options.output, std::ios::binary);
  if (page) memory::write_report(page, runs, text);
  page.close();
  if (!page) throw FileError(options.output + ": cannot be written");
  return fine;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("report", "One page that shows a recording, or two side by side, in any browser.");
  const auto options = std::make_shared<ReportOptions>();
  verb->add_option("RECORDING", options->files, "One file, or two to compare: recordings, or snapshots of PyTorch's.")->required()->expected(1, 2);
  verb->add_option("--output,-o", options->output, "The page, such as report.html.")->required();
  verb->callback([&action, options] { action = [options] { return write(*options); }; });
}

}  // namespace mnemo::command
