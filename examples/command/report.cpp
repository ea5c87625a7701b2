// mnemo report: recordings as one page for a browser.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/output.h"
#include "command/page.h"
#include "command/trace_file.h"

namespace mnemo::command {

namespace {

struct ReportOptions {
  std::vector<std::string> files;
  std::string output;
};

int write(const ReportOptions& options) {
  check_outputs({{"--output", options.output}}, options.files);
  std::vector<memory::ReportRun> runs;
  for (const std::string& file : options.files) {
    runs.push_back({read_recording(file), std::filesystem::path(file).stem().string()});
  }
  write_page(options.output, std::move(runs));
  return fine;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("report", "One page that shows a recording, or two side by side, in any browser.");
  const auto options = std::make_shared<ReportOptions>();
  verb->add_option("RECORDING", options->files, "One file, or two to compare: recordings, or snapshots of PyTorch's.")
      ->required()
      ->expected(1, 2);
  verb->add_option("--output,-o", options->output, "The page, such as report.html.")->required();
  verb->callback([&action, options] { action = [options] { return write(*options); }; });
}

}  // namespace mnemo::command
