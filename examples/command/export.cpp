// mnemo export: a recording for other programs: PyTorch's viewer, Perfetto, spreadsheets, flame graphs.
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/output.h"
#include "command/suggestion.h"
#include "command/trace_file.h"

namespace mnemo::command {

namespace {

using Write = void (*)(const memory::Recording&, std::ostream&);

const std::map<std::string, Write>& formats() {
  static const std::map<std::string, Write> formats{
      {"memory-viz", memory::write_memory_viz},     {"memory-viz-json", memory::write_memory_viz_json},
      {"chrome-trace", memory::write_chrome_trace}, {"csv", memory::write_events_csv},
      {"blocks-csv", memory::write_blocks_csv},     {"collapsed", memory::write_collapsed}};
  return formats;
}

struct ExportOptions {
  std::string file;
  std::string format;
  std::string output;
};

int write(const ExportOptions& options) {
  const auto format = formats().find(options.format);
  if (format == formats().end()) {
    std::vector<std::string> names;
    for (const auto& [name, write] : formats()) names.push_back(name);
    throw UsageError(fmt::format("\"{}\" is not one of {}{}", options.format, fmt::join(names, ", "),
                                 suggestion(options.format, names)));
  }
  if (options.output != "-") check_outputs({{"--output", options.output}}, {options.file});
  const memory::Recording recording = read_recording(options.file);
  if (options.output.empty() || options.output == "-") {
    format->second(recording, std::cout);
    if (!std::cout.flush()) throw Error("standard output cannot be written");
    return fine;
  }
  std::ofstream file(options.output, std::ios::binary | std::ios::trunc);
  if (file) format->second(recording, file);
  file.close();
  if (!file) throw OutputError(options.output + ": cannot be written");
  return fine;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("export", "Writes a recording for other programs.");
  verb->footer(
      "memory-viz       a snapshot for pytorch.org/memory_viz (pickle); memory-viz-json: the same as JSON\n"
      "chrome-trace     for ui.perfetto.dev: counters, and a slice per block\n"
      "csv, blocks-csv  a table of events, or of blocks from their allocation to their free\n"
      "collapsed        what is held at the peak, for flamegraph.pl and speedscope");
  const auto options = std::make_shared<ExportOptions>();
  verb->add_option("RECORDING", options->file, "A file that --record wrote, or a snapshot of PyTorch's.")->required();
  verb->add_option("--format", options->format, "What to write; see below.")->required();
  verb->add_option("--output,-o", options->output, "The file; standard output unless given.");
  verb->callback([&action, options] { action = [options] { return write(*options); }; });
}

}  // namespace mnemo::command
