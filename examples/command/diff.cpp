// mnemo diff: why one run needs more memory than another, as a sum of causes.
#include "command/diff.h"

#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/explain.h"
#include "command/page.h"

namespace mnemo::command {

namespace {

struct DiffOptions {
  std::string a, b;
  RunOptions run = {};
  std::vector<std::string> given;
  std::string report;  ///< a page, or none
  bool json = false;
};

int show(const DiffOptions& options) {
  check_outputs({{"--report", options.report}}, {options.a, options.b});
  check_records({side_of(options.given, 0), side_of(options.given, 1)});
  const Subject a = read_subject(options.a, side_of(options.given, 0));
  const Subject b = read_subject(options.b, side_of(options.given, 1));
  const memory::Difference difference = memory::difference(a.recording, b.recording);
  if (options.json) {
    Json object = to_json(difference);
    object["a"] = about_json(a.recording.header());
    object["b"] = about_json(b.recording.header());
    print_json(object);
  } else {
    print(text(difference, a, b));
  }
  if (!options.report.empty()) write_page(options.report, {{a.recording, a.name}, {b.recording, b.name}});
  int code = fine;
  for (const Subject* subject : {&a, &b}) {
    if (!subject->out_of_memory) continue;
    complain(subject->out_of_memory->what());
    code = out_of_memory;
  }
  return code;
}

}  // namespace

void add_diff(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("diff",
                                      "Why memory differs between two recordings or "
                                      "two models: causes that add up to the byte.");
  verb->footer(
      "A and B are files of recordings, or models with their options "
      "as one word: \"resnet18 --batch 8\". Options\n"
      "given besides are of both runs; of a list of two values, as in "
      "--batch 8,7, A takes the first and B the second.");
  const auto options = std::make_shared<DiffOptions>();
  verb->add_option("A", options->a, "A recording, or a model with its options.")->required();
  verb->add_option("B", options->b, "The other one.")->required();
  add_run_options(*verb, options->run);
  add_page_option(*verb, options->report);
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, verb] {
    options->given = given_options(*verb);
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
