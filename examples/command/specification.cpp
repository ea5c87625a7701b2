#include "command/specification.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "command/numbers.h"
#include "command/output.h"
#include "command/trace_file.h"
#include "models/layer.h"
#include "training/checkpointing.h"

namespace mnemo::command {

namespace {

bool is_model(const std::string& word) { return models::is_layer(word) || models::find_spec(word) != nullptr; }

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// The options, MODEL among them.
void add_specification(CLI::App& app, RunOptions& options) {
  add_workload(app, options.workload);
  app.add_option("--device", options.device, "cpu, virtual:cpu, virtual:h200, virtual:16GiB, ... (virtual:h200)");
  app.add_option("--batch", options.batch, "Batch size.");
  app.add_option("--size", options.size, "Edge length of the input.");
  add_training(app, options.training);
  app.add_option("--steps", options.steps, "Training steps. (2)");
  app.add_option("--allocator", options.allocator,
                 "Allocator options; with --policy pytorch they are "
                 "expandable_segments:True.");
  app.add_option("--seed", options.seed, "Of all random numbers. (0)");
  app.add_option("--record", options.record, "Also write everything that happens to memory to this file.");
}

RunOptions parse(const std::vector<std::string>& words, const std::string& text) {
  CLI::App app;
  RunOptions options;
  add_specification(app, options);
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() > 0) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    throw UsageError(fmt::format("\"{}\": {}", text, error.what()));
  }
  options.has_allocator = app.count("--allocator") > 0;
  return options;
}

Device open(const RunOptions& options, const Workload& workload) {
  return open_device(options.device, workload.policy,
                     options.has_allocator ? std::optional(options.allocator) : std::nullopt);
}

training::RunPlan plan_of(const RunOptions& options, const std::string& command) {
  const Workload workload = read_workload(options.workload);
  training::RunPlan plan{
      .spec = workload.spec, .training = read_training(options.training, workload), .policy = workload.policy};
  plan.batch = options.batch.empty() ? plan.spec.batch : read_count("--batch", options.batch);
  plan.size = options.size.empty() ? plan.spec.size : read_count("--size", options.size);
  plan.steps = read_count("--steps", options.steps);
  plan.seed = read_seed("--seed", options.seed);
  plan.device = open(options, workload);
  plan.command = command;
  plan.record = options.record;
  check_layout(workload, plan.device);
  const training::CheckpointRequest request = training::read_checkpoint_request(options.training.checkpoint);
  if (request.kind != training::CheckpointRequest::Kind::none)
    plan.checkpoint = training::choose_plan(plan, request).chosen.plan;
  return plan;
}

Subject run(const std::string& text, std::vector<std::string> words, const std::vector<std::string>& common) {
  words.insert(words.begin(), common.begin(), common.end());
  const RunOptions options = parse(words, text);
  std::string name = options.workload.model;
  for (const std::string& word : words) {
    if (word != options.workload.model) name += ' ' + word;
  }
  check_writable("--record", options.record);
  const training::RunPlan plan = plan_of(options, name);
  try {
    training::RecordedRun run = writing([&plan] { return training::record_run(plan); });
    return {name, run.recording, std::move(run.out_of_memory), run.estimated_workspaces, plan};
  } catch (const ShapeError& error) {
    refuse_shape(error, plan.spec, plan.size);
  }
}

/// Where a list of two values is cut; npos for a single value. Devices and
/// allocator options have commas of their own.
std::size_t cut_of(const std::string& option, const std::string& value) {
  if (option == "--allocator" || option == "--policy" || option == "--workspace") return std::string::npos;
  if (option != "--device") return value.find(',');
  for (std::size_t at = value.find(','); at != std::string::npos; at = value.find(',', at + 1)) {
    const std::string_view rest = std::string_view(value).substr(at + 1);
    if (rest.starts_with("virtual:") || rest.starts_with("cpu") || rest.starts_with("cuda")) return at;
  }
  return std::string::npos;
}

}  // namespace

void add_run_options(CLI::App& verb, RunOptions& options) {
  add_specification(verb, options);
  verb.remove_option(verb.get_option("MODEL"));
}

std::vector<std::string> given_options(const CLI::App& verb) {
  CLI::App known;
  RunOptions unused;
  add_run_options(known, unused);
  std::vector<std::string> words;
  for (const CLI::Option* option : verb.get_options()) {
    const bool of_run = !option->get_lnames().empty() && option->get_lnames().front() != "help" &&
                        known.get_option_no_throw("--" + option->get_lnames().front()) != nullptr;
    if (!of_run || option->count() == 0) continue;
    const std::string word = "--" + option->get_lnames().front();
    words.push_back(option->get_items_expected_max() == 0 ? word : word + '=' + option->results().back());
  }
  return words;
}

std::vector<std::string> side_of(const std::vector<std::string>& options, int side) {
  std::vector<std::string> words;
  for (const std::string& word : options) {
    const std::size_t equal = word.find('=');
    const std::string option = word.substr(0, equal);
    const std::string value = equal == std::string::npos ? "" : word.substr(equal + 1);
    const std::size_t cut = cut_of(option, value);
    if (cut == std::string::npos) {
      words.push_back(word);
      continue;
    }
    const std::string second = value.substr(cut + 1);
    if (cut_of(option, second) != std::string::npos)
      throw UsageError(fmt::format("{}: \"{}\" has more than two values, one for A and one for B", option, value));
    words.push_back(option + '=' + (side == 0 ? value.substr(0, cut) : second));
  }
  return words;
}

void check_records(const std::vector<std::vector<std::string>>& options) {
  std::vector<std::string> known;
  for (const std::vector<std::string>& words : options) {
    const auto record =
        std::find_if(words.begin(), words.end(), [](const auto& word) { return word.starts_with("--record="); });
    if (record == words.end()) continue;
    if (std::find(known.begin(), known.end(), *record) != known.end()) {
      throw UsageError(
          fmt::format("{}: several runs would write the same file; give each its own, as in "
                      "\"resnet18 --record a.mnemo\"",
                      *record));
    }
    known.push_back(*record);
    check_writable("--record", record->substr(record->find('=') + 1));
  }
}

bool names_model(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  return std::any_of(words.begin(), words.end(), is_model);
}

Subject read_subject(const std::string& text, const std::vector<std::string>& common) {
  const std::vector<std::string> words = words_of(text);
  if (names_model(text)) return run(text, words, common);
  std::error_code error;
  if (std::filesystem::exists(text, error)) {
    if (!common.empty()) {
      throw UsageError(fmt::format("{} is a recording: {} can no longer change it", text, fmt::join(common, " ")));
    }
    return {text, read_recording(text), {}, 0};
  }
  try {
    return run(text, words, common);  // says which models there are
  } catch (const UsageError& refusal) {
    throw UsageError(fmt::format("\"{}\" is no file; as a model: {}", text, refusal.what()));
  }
}

}  // namespace mnemo::command
