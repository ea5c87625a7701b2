#include "training/fitting.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include <fmt/format.h>

namespace mnemo::training {

using memory::format_bytes;

namespace {

/// "workspaces of at most 8.00 MiB in layer1.0.conv1", "workspaces limited in 7 layers"
std::string describe(const WorkspaceLimits& limits) {
  if (limits.by_path().size() > 1) return fmt::format("workspaces limited in {} layers", limits.by_path().size());
  const auto& [path, limit] = *limits.by_path().begin();
  return (limit == 0 ? "convolutions without workspace" : "workspaces of at most " + format_bytes(limit)) +
         (path.empty() ? "" : " in " + path);
}

/// Whether a batch is so much larger than one that fits that no technique reaches it: no more parts than 256 are tried,
/// and whatever else there is spares less than that. Trying them all the same takes long, since convolutions of so many
/// samples are cut into thousands.
bool is_hopeless(std::int64_t batch, std::int64_t fits) {
  constexpr std::int64_t kMostParts = 256;
  return batch / kMostParts > fits;
}

const std::optional<CheckpointPlan>& checkpoints(const RunPlan& run, const FitChoices& choices) {
  return choices.checkpoint ? choices.checkpoint : run.checkpoint;
}

/// The word as a shell reads it.
std::string quoted(const std::string& word) {
  const auto is_plain = [](unsigned char c) { return std::isalnum(c) != 0 || std::strchr("_./:,=@+-", c) != nullptr; };
  if (!word.empty() && std::ranges::all_of(word, is_plain)) return word;
  std::string text;
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + text + "'";
}

}  // namespace

TrainerOptions with(const TrainerOptions& options, const FitChoices& choices) {
  TrainerOptions all = options;
  if (choices.amp) all.amp = choices.amp;
  all.accumulate = options.accumulate * choices.accumulate;
  all.step_in_backward = options.step_in_backward || choices.step_in_backward;
  all.in_place = options.in_place || choices.in_place;
  all.offload = options.offload || choices.offload;
  all.workspace = both(options.workspace, choices.workspace);
  return all;
}

void train(const RunPlan& run) {
  const ConvPolicyScope planned(run.policy);
  Trainer trainer(run.spec, run.training);
  trainer.checkpoint(run.checkpoint);
  for (std::int64_t step = 0; step < run.steps; ++step) trainer.step(run.batch, run.size);
}

void train(const RunPlan& run, const FitChoices& choices) {
  RunPlan so = run;
  so.training = with(run.training, choices);
  so.training.recover = false;
  so.checkpoint = checkpoints(run, choices);
  so.batch = choices.batch;
  train(so);
}

FitRequest fit_request(const RunPlan& run, const std::string& device, std::vector<Technique> allow) {
  const auto stage_costs = [run](const FitChoices& choices) {
    const ConvPolicyScope planned(run.policy);
    TrainerOptions options = with(run.training, choices);
    options.rule = Rule::nothing;
    options.accumulate = 1;
    options.step_in_backward = false;
    options.graph = false;
    Trainer trainer(run.spec, options);
    const WorkspaceLimitsScope limited(options.workspace);
    const AutocastScope half(autocast_of(options));
    const models::Batch batch = models::random_batch(run.spec, choices.batch, run.size, options.dtype);
    return measure_stages(trainer.model().stages(), batch.input);
  };
  // One after the other, they are as good as one of the other and this.
  std::erase_if(allow, [&](Technique technique) {
    return (technique == Technique::accumulate && run.training.step_in_backward) ||
           (technique == Technique::step_in_backward &&
            (run.training.rule == Rule::nothing || run.training.accumulate > 1 || run.training.recover ||
             run.training.amp == DType::float16)) ||
           (run.training.graph && (technique == Technique::accumulate || technique == Technique::offload)) ||
           (technique == Technique::amp && run.training.amp) || (run.training.rule == Rule::nothing);
  });
  return {.device = device,
          .config = run.device.allocator().config(),
          .batch = run.batch,
          .allow = std::move(allow),
          .dtype = run.training.amp.value_or(run.training.dtype),
          .steps = run.steps,
          .program = [run](const FitChoices& choices) { train(run, choices); },
          .stages = stage_costs};
}

std::vector<std::string> describe(const RunPlan& run, const FitChoices& choices) {
  std::vector<std::string> words;
  if (choices.in_place) words.emplace_back("activations in place");
  if (choices.step_in_backward) words.emplace_back("optimizer in backward");
  if (!choices.workspace.empty()) words.push_back(describe(choices.workspace));
  if (choices.amp) words.push_back(fmt::format("{} autocast", name(*choices.amp)));
  if (choices.accumulate > 1) {
    const TrainerOptions all = with(run.training, choices);
    words.push_back(fmt::format("{} batches of {} per update", all.accumulate, choices.batch));
  }
  if (choices.checkpoint) words.push_back("checkpoints " + choices.checkpoint->text());
  if (choices.offload) words.emplace_back("saved activations in host memory");
  return words;
}

std::string step_arguments(const RunPlan& run, const std::string& device, const FitChoices& choices) {
  const TrainerOptions all = with(run.training, choices);
  std::string text = fmt::format("{} --device {} --batch {}", quoted(run.spec.name), quoted(device), choices.batch);
  if (run.size != run.spec.size) text += fmt::format(" --size {}", run.size);
  if (all.dtype != DType::float32) text += fmt::format(" --dtype {}", name(all.dtype));
  const std::string planned = describe(run.policy);
  if (planned != describe(ConvPolicy())) text += " --policy " + quoted(planned);
  const ConvPolicy usual = parse_conv_policy(planned);  // that of PyTorch has a precision and a layout of its own
  if (run.policy.allow_tf32 && !usual.allow_tf32) text += " --tf32";
  if (run.policy.layout && run.policy.layout != usual.layout)
    text += *run.policy.layout == ConvLayout::contiguous ? " --layout contiguous" : " --layout channels-last";
  text += all.rule == Rule::nothing ? std::string(" --no-grad") : fmt::format(" --optimizer {}", name(all.rule));
  if (all.lr) text += fmt::format(" --lr {}", *all.lr);
  if (all.amp) text += *all.amp == DType::bfloat16 ? " --amp bf16" : " --amp fp16";
  if (all.accumulate > 1) text += fmt::format(" --accumulate {}", all.accumulate);
  if (all.step_in_backward) text += " --optimizer-in-backward";
  if (all.master_weights) text += " --master-weights";
  if (all.in_place) text += " --in-place";
  if (all.offload) text += " --offload";
  if (all.graph) text += " --graph";
  if (!all.workspace.empty()) text += " --workspace " + quoted(all.workspace.text());
  if (const auto& plan = checkpoints(run, choices)) text += " --checkpoint " + quoted(plan->text());
  return text + fmt::format(" --steps {}", run.steps);
}

std::vector<std::string> changes_that_fit(const RunPlan& wanted, const std::string& device) {
  RunPlan run = wanted;
  run.steps = std::max<std::int64_t>(run.steps, 2);  // the second has the optimizer's state from its beginning
  const std::string name = device.starts_with("cpu:") ? "virtual:" + device : device;
  if (!name.starts_with("virtual:") || name == "virtual:cpu") return {};
  std::vector<Technique> all;
  for (int i = 0; i < kTechniques; ++i) all.push_back(static_cast<Technique>(i));
  std::vector<std::string> changes;
  const auto add = [&](std::string words, const FitTrial& trial, const FitTrial& plain) {
    words += fmt::format(" fits, {} to spare", format_bytes(trial.spare));
    if (trial.choices.batch * trial.choices.accumulate == run.batch && trial.extra_operations > 0) {
      words += fmt::format(", {:+.1f} % operations", 100 * static_cast<double>(trial.extra_operations) /
                                                         static_cast<double>(plain.work.operations()));
    }
    changes.push_back(std::move(words));
  };
  constexpr std::int64_t kBatches = 32;
  if (run.batch > 1) {
    const BatchSearch search{
        .device = name, .config = run.device.allocator().config(), .limit = run.batch - 1, .exhaustive = kBatches};
    const std::int64_t batch = largest_batch(search, [&](std::int64_t smaller) { train(run, {.batch = smaller}); });
    if (batch > 0) {
      RunPlan smaller = run;
      smaller.batch = batch;
      Fitting fitting(fit_request(smaller, name, {}));
      add(fmt::format("batch {}", batch), fitting.as_it_is(), fitting.plain());
      if (is_hopeless(run.batch, batch)) return changes;
    }
  }
  Fitting fitting(fit_request(run, name, std::move(all)));
  std::vector<FitTrial> found = fitting.cheapest(2, true);
  if (found.empty()) found = fitting.cheapest(2);
  for (const FitTrial& trial : found) {
    std::string words;
    for (const std::string& word : describe(run, trial.choices)) words += (words.empty() ? "" : " with ") + word;
    if (trial.choices.workspace.by_path().size() > 1)
      words += fmt::format(" (--workspace {})", trial.choices.workspace.text());
    add(std::move(words), trial, fitting.plain());
  }
  return changes;
}

std::string code(const RunPlan& run, const FitChoices& choices) {
  if (choices.used().empty()) return {};
  const TrainerOptions all = with(run.training, choices);
  std::string setup;
  if (!all.workspace.empty())
    setup += fmt::format("const WorkspaceLimitsScope limited(parse_workspace_limits(\"{}\"));\n", all.workspace.text());
  if (all.in_place) setup += "model.work_in_place();\n";
  if (all.step_in_backward)
    setup += "const optim::StepInBackward updates = optim::step_in_backward(optimizer);  // and no optimizer.step()\n";
  std::string call = "model(images)";
  if (const auto& plan = checkpoints(run, choices))
    call = fmt::format("run_chain(parse_checkpoint_plan(\"{}\"), model.stages(), images)", plan->text());
  if (all.offload) call = fmt::format("offload([&](const Tensor& images) {{ return {}; }}, images)", call);
  std::string loss = fmt::format("cross_entropy({}, labels)", call);
  if (all.amp) loss = fmt::format("autocast(DType::{}, [&] {{ return {}; }})", name(*all.amp), loss);
  const auto backward = [&](const std::string& of) {
    return (all.amp == DType::float16 ? "scaler.scale(" + of + ")" : of) + ".backward();\n";
  };
  if (all.accumulate > 1) {
    return setup + fmt::format("for (int part = 0; part < {}; ++part) {{  // of {} samples each\n  {}}}\n",
                               all.accumulate, choices.batch,
                               backward(fmt::format("({} * (1.0 / {}))", loss, all.accumulate)));
  }
  const bool is_plain = call == "model(images)" && !all.amp;
  return is_plain ? setup : setup + backward(loss);
}

}  // namespace mnemo::training
