// mnemo explain: what a recording's peak, or that of a model's training steps,
// is made of.
#include "command/explain.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/measured_advice.h"
#include "command/page.h"

namespace mnemo::command {

namespace {

struct ExplainOptions {
  std::vector<std::string> subjects;
  RunOptions run = {};
  std::vector<std::string> given;
  std::string report;  ///< a page, or none
  bool json = false;
};

/// What can be run so is measured; estimates are for recordings, which cannot.
void measure_advice(const training::RunPlan& run, memory::Explanation& explanation) {
  auto measured = measured_advice(run, explanation.peak.allocated);
  if (!measured) return;
  std::vector<memory::Advice>& advice = explanation.advice;
  std::erase_if(advice, [](const memory::Advice& one) { return !one.measured; });
  std::ranges::move(*measured, std::back_inserter(advice));
  std::ranges::stable_sort(advice, std::ranges::greater{}, &memory::Advice::bytes);
}

int show(const ExplainOptions& options) {
  if (!options.report.empty() && options.subjects.size() > 2)
    throw UsageError(fmt::format("--report: a page shows one run or two, not {}", options.subjects.size()));
  check_outputs({{"--record", options.run.record}, {"--report", options.report}}, options.subjects);
  check_records(std::vector(options.subjects.size(), options.given));
  int code = fine;
  std::vector<Json> objects;
  std::vector<memory::ReportRun> runs;
  for (const std::string& wanted : options.subjects) {
    const Subject subject = read_subject(wanted, options.given);
    memory::Explanation explanation = memory::explain(subject.recording);
    if (subject.run && !subject.out_of_memory) measure_advice(*subject.run, explanation);
    if (options.json) {
      objects.push_back(to_json(explanation));
      objects.back()["name"] = subject.name;
      objects.back()["estimated_workspaces"] = subject.estimated_workspaces;
    } else {
      print((&wanted == &options.subjects.front() ? "" : "\n\n") + text(explanation, subject));
    }
    if (!options.report.empty()) runs.push_back({subject.recording, subject.name});
    if (!subject.out_of_memory) continue;
    complain(subject.out_of_memory->what());
    code = out_of_memory;
  }
  if (options.json) print_json(objects.size() == 1 ? objects.front() : Json{{"explanations", objects}});
  if (!runs.empty()) write_page(options.report, std::move(runs));
  return code;
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("explain",
                                      "Who holds every byte at the peak of a recording or of a "
                                      "model's steps, and what would lower it.");
  const auto options = std::make_shared<ExplainOptions>();
  verb->add_option("FILE|MODEL", options->subjects,
                   "Recordings, or models and layers to be run, with options "
                   "of their own if quoted: "
                   "\"resnet18 --batch 8\".")
      ->required();
  add_run_options(*verb, options->run);
  add_page_option(*verb, options->report);
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, verb] {
    options->given = given_options(*verb);
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
