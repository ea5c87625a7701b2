// What the verbs step, plans and cliffs run: a model of the zoo or a layer, its dtype, and how its convolutions are
// planned.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/suggestion.h"
#include "models/registry.h"

namespace mnemo::command {

/// The value that stands behind a word; the words are what the option takes. Throws UsageError with the nearest one.
template <class T>
T choose(const char* option, const std::string& word, const std::vector<std::pair<std::string, T>>& choices) {
  std::vector<std::string> words;
  std::string list;
  for (const auto& [known, value] : choices) {
    if (known == word) return value;
    words.push_back(known);
    list += (list.empty() ? "" : ", ") + known;
  }
  throw UsageError(fmt::format("{}: \"{}\" is not one of {}{}", option, word, list, suggestion(word, words)));
}

/// The options as they were written.
struct WorkloadOptions {
  std::string model;
  std::string dtype = "float32";
  std::string layout = "auto";
  std::string policy;
  std::string usual_policy = "auto";  ///< unless one is given
  std::string conv_algorithm = "auto";
  bool tf32 = false;
};
/// Adds MODEL, --dtype, --layout, --policy, --tf32 and --conv-algorithm.
void add_workload(CLI::App& verb, WorkloadOptions& options);

struct Workload {
  models::Spec spec;
  DType dtype = DType::float32;
  ConvPolicy policy;
};
/// Throws UsageError or ConfigError.
Workload read_workload(const WorkloadOptions& options);
/// Throws UsageError if the device cannot take the workload's layout: a CPU computes row-major.
void check_layout(const Workload& workload, const Device& device);

/// The device of that name with these allocator options; without any they are, with the policy of PyTorch, those by
/// which reports of PyTorch users count: expandable_segments:True, blocks of multiples of 512 bytes and nothing unsplit
/// behind them.
Device open_device(const std::string& name, const ConvPolicy& policy, const std::optional<std::string>& allocator = {});

/// Whether the model takes that edge length; 0 are its own sizes, which a layer's input has.
bool takes_size(const models::Spec& spec, std::int64_t size);
/// The edge length; where it is 0 the model's own sizes: "224", "20x30".
std::string size_text(const models::Spec& spec, std::int64_t size);
/// Throws UsageError with the error's text, and where the model does not take that size, with those that it takes.
[[noreturn]] void refuse_shape(const ShapeError& error, const models::Spec& spec, std::int64_t size);

/// "deterministic", "heuristic with TF32, channels_last": how convolutions are planned, for people.
std::string policy_text(const ConvPolicy& policy);

}  // namespace mnemo::command
