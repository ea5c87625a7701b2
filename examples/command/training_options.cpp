#include "command/training_options.h"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "command/numbers.h"

namespace mnemo::command {

namespace {

/// The modules that stand beside a wrong path, as far as it is right: "layer3.0, layer3.1".
std::string listed(const std::vector<std::string>& paths, std::string_view wrong) {
  std::string parent(wrong);
  do {
    const std::size_t dot = parent.rfind('.');
    parent.resize(dot == std::string::npos ? 0 : dot);
  } while (!parent.empty() && std::find(paths.begin(), paths.end(), parent) == paths.end());
  std::string text;
  for (const std::string& path : paths) {
    if (path.empty() || !path.starts_with(parent.empty() ? parent : parent + '.')) continue;
    const bool child = path.find('.', parent.empty() ? 0 : parent.size() + 1) == std::string::npos;
    if (child) text += (text.empty() ? "" : ", ") + path;
  }
  return text;
}

WorkspaceLimits read_workspace(const std::string& text, const models::Spec& spec) {
  if (text.empty()) return {};
  WorkspaceLimits limits = parse_workspace_limits(text);
  const std::vector<std::string> paths = models::module_paths(spec);
  for (const auto& [path, limit] : limits.by_path()) {
    if (std::find(paths.begin(), paths.end(), path) != paths.end()) continue;
    const std::string beside = listed(paths, path);
    throw UsageError(fmt::format("--workspace: {} has no module {}{}; there {}", spec.name, path,
                                 suggestion(path, paths), beside.empty() ? "are none" : "are " + beside));
  }
  return limits;
}

}  // namespace

void add_training(CLI::App& verb, TrainingOptions& options) {
  verb.add_option("--optimizer", options.optimizer, "sgd (without momentum), adam or adam8bit. (sgd)");
  verb.add_option("--lr", options.lr, "Learning rate. (0.01 for sgd, 0.001 for adam and adam8bit)");
  verb.add_option("--amp", options.amp,
                  "Autocast: products and convolutions in bf16 or fp16, parameters in float32; fp16 scales the loss. "
                  "(no)");
  verb.add_option("--accumulate", options.accumulate, "Batches whose gradients make one update. (1)");
  verb.add_option("--checkpoint", options.checkpoint,
                  "none, a number of segments, auto (the least memory for 16 % more operations), plan:SIZE (the "
                  "fewest operations with at most SIZE allocated), or a plan such as '0 (1 2) 3'. (none)");
  verb.add_option("--workspace", options.workspace,
                  "What convolutions may take as workspace: a size for all of them, PATH=SIZE for a module and all "
                  "below it, with commas between, as in 64MiB,layer3=0,layer4.0.conv1=8MiB. (no limit)");
  verb.add_flag("--optimizer-in-backward", options.optimizer_in_backward,
                "Update each parameter as soon as its gradient is complete, and free the gradient.");
  verb.add_flag("--master-weights", options.master_weights,
                "Parameters of a half --dtype have float32 copies, in which the optimizer works.");
  verb.add_flag("--in-place", options.in_place,
                "Activations overwrite their inputs; batch norm with its relu keeps one tensor. Same values and "
                "gradients.");
  verb.add_flag("--offload", options.offload,
                "What the forward pass saves for backward, from 1 MiB per tensor on, waits in host memory.");
  verb.add_flag("--recover", options.recover,
                "A step that does not fit is done again in parts of the batch, half as large.");
  verb.add_flag(
      "--graph", options.graph,
      "A GPU records the second step and repeats it from then on. A CPU runs each step, with the same values; "
      "the model's output is not kept through backward.");
  verb.add_flag("--no-grad", options.no_grad, "The forward pass only, without recording.");
}

training::Rule read_rule(const std::string& word) {
  return choose<training::Rule>(
      "--optimizer", word,
      {{"sgd", training::Rule::sgd}, {"adam", training::Rule::adam}, {"adam8bit", training::Rule::adam8bit}});
}

training::TrainerOptions read_training(const TrainingOptions& options, const Workload& workload) {
  const DType dtype = workload.dtype;
  using Amp = std::optional<DType>;
  training::TrainerOptions training{.rule = read_rule(options.optimizer), .dtype = dtype};
  if (!options.lr.empty()) training.lr = read_rate("--lr", options.lr);
  training.amp = choose<Amp>("--amp", options.amp, {{"no", {}}, {"bf16", DType::bfloat16}, {"fp16", DType::float16}});
  training.accumulate = read_count("--accumulate", options.accumulate);
  training.step_in_backward = options.optimizer_in_backward;
  training.master_weights = options.master_weights;
  training.in_place = options.in_place;
  training.offload = options.offload;
  training.recover = options.recover;
  training.graph = options.graph;
  training.workspace = read_workspace(options.workspace, workload.spec);
  if (training.amp && dtype != DType::float32)
    throw UsageError(fmt::format("--amp is for parameters in float32; with --dtype {} leave it out", name(dtype)));
  if (options.no_grad && (training.step_in_backward || training.accumulate > 1))
    throw UsageError("--no-grad updates nothing: leave out --accumulate and --optimizer-in-backward");
  if (training.step_in_backward && training.accumulate > 1)
    throw UsageError("--optimizer-in-backward frees each gradient at once: it cannot be accumulated; give one of both");
  if (training.step_in_backward && training.amp == DType::float16) {
    throw UsageError(
        "--optimizer-in-backward cannot skip the step of a scaled loss that overflowed; take --amp bf16, which needs "
        "no scale");
  }
  if (training.master_weights && (!is_half(dtype) || options.no_grad))
    throw UsageError("--master-weights is for training parameters of a half type: give --dtype bfloat16 or float16");
  if (options.no_grad && training.lr) throw UsageError("--no-grad updates nothing: leave out --lr");
  if (options.no_grad && options.checkpoint != "none")
    throw UsageError("--no-grad keeps nothing for backward: there is nothing to --checkpoint");
  if (options.no_grad && training.offload)
    throw UsageError("--no-grad saves nothing for backward: leave out --offload");
  if (training.recover && (training.step_in_backward || training.accumulate > 1 || options.no_grad)) {
    throw UsageError(
        "--recover accumulates by itself, and takes steps back: leave out --accumulate, "
        "--optimizer-in-backward and --no-grad");
  }
  if (training.graph && (training.recover || training.accumulate > 1 || training.offload || options.no_grad)) {
    throw UsageError(
        "--graph records one batch with its update: leave out --recover, --accumulate, --offload and --no-grad");
  }
  if (options.no_grad) training.rule = training::Rule::nothing;
  return training;
}

}  // namespace mnemo::command
