// mnemo step: training steps of a model, with what they did to memory.
#include "command/step.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/page.h"
#include "command/training_options.h"
#include "training/data_file.h"
#include "training/fitting.h"
#include "training/recorded_run.h"

namespace mnemo::command {

namespace {

struct StepOptions {
  WorkloadOptions workload = {};
  std::string device = "cpu";
  std::string batch, size;  ///< empty: the model's own
  TrainingOptions training = {};
  std::string steps = "1";
  bool empty_cache = false;
  std::string allocator;
  bool has_allocator = false;
  std::string seed = "0";
  std::string weights, save_weights;  ///< files, or empty
  std::string data;                   ///< a file, or empty: random numbers
  std::string record;                 ///< a file, or empty
  std::string report;                 ///< a page, or none
  bool time = false;
  bool json = false;
};

/// The options, read and checked.
struct Plan {
  Workload workload;
  std::vector<std::int64_t> batches;
  std::int64_t size;  ///< 0: the layer's own sizes
  std::int64_t steps;
  training::TrainerOptions training;
  std::uint64_t seed;
  training::CheckpointRequest checkpoint;
  std::unique_ptr<training::DataFile> data = {};
};

/// Opens the user's data; from then on the model's sizes are theirs.
void take_data(Plan& plan, const StepOptions& options) {
  models::Spec& spec = plan.workload.spec;
  plan.data = std::make_unique<training::DataFile>(options.data, spec);
  const std::vector<std::int64_t> sizes = plan.data->sizes();
  const bool even = std::all_of(sizes.begin(), sizes.end(), [&](std::int64_t size) { return size == sizes[0]; });
  if (!options.size.empty() && !(even && plan.size == sizes[0])) {
    throw UsageError(
        fmt::format("--size: the inputs in {} have the sizes {}; leave it out", options.data, fmt::join(sizes, " x ")));
  }
  spec.extents = sizes;
  plan.size = even && spec.size > 0 ? sizes[0] : 0;
}

/// Asked before anything is trained, for it would be too bad to hear it afterwards.
void check_files(const StepOptions& options, const Device& device) {
  check_outputs({{"--save-weights", options.save_weights}, {"--record", options.record}, {"--report", options.report}},
                {options.data});
  if (!options.save_weights.empty() && device.is_virtual())
    throw UsageError(fmt::format("--save-weights: {} computes no values, there is nothing to save", device.name()));
  if (std::filesystem::exists(options.save_weights) && !std::filesystem::is_regular_file(options.save_weights))
    throw OutputError(fmt::format("--save-weights: {} is no file", options.save_weights));
}

Plan read(const StepOptions& options) {
  Plan plan{.workload = read_workload(options.workload),
            .batches = {},
            .size = 0,
            .steps = read_count("--steps", options.steps),
            .training = {},
            .seed = read_seed("--seed", options.seed),
            .checkpoint = training::read_checkpoint_request(options.training.checkpoint)};
  plan.training = read_training(options.training, plan.workload);
  const models::Spec& spec = plan.workload.spec;
  plan.batches = options.batch.empty() ? std::vector{spec.batch} : read_counts("--batch", options.batch);
  plan.size = options.size.empty() ? spec.size : read_count("--size", options.size);
  if (!options.data.empty()) take_data(plan, options);
  return plan;
}

Device open(const StepOptions& options, const Workload& workload) {
  return open_device(options.device, workload.policy,
                     options.has_allocator ? std::optional(options.allocator) : std::nullopt);
}

training::RunPlan run_plan(const Plan& plan, std::int64_t batch, const Device& device) {
  return {.spec = plan.workload.spec,
          .training = plan.training,
          .policy = plan.workload.policy,
          .batch = batch,
          .size = plan.size,
          .steps = plan.steps,
          .seed = plan.seed,
          .device = device,
          .command = "mnemo step " + plan.workload.spec.name};
}

void train(const Plan& plan, const StepOptions& options, const Device& device, StepResult& result) {
  const DeviceScope on_device(device);
  const ConvPolicyScope policy(plan.workload.policy);
  manual_seed(plan.seed);
  training::Trainer trainer(plan.workload.spec, plan.training);
  if (!options.weights.empty()) nn::load(trainer.model(), options.weights);
  if (plan.data) trainer.draw_from([&plan](std::int64_t batch) { return plan.data->next(batch, plan.training.dtype); });
  for (std::size_t i = 0; i < plan.batches.size(); ++i) {
    if (i > 0 && options.empty_cache) device.allocator().empty_cache();
    result.runs.push_back({plan.batches[i], plan.size, {}});
    if (plan.checkpoint.kind != training::CheckpointRequest::Kind::none) {
      result.runs.back().checkpoints = training::choose_plan(run_plan(plan, plan.batches[i], device), plan.checkpoint);
      trainer.checkpoint(result.runs.back().checkpoints->chosen.plan);
    }
    for (std::int64_t step = 0; step < plan.steps; ++step) {
      result.runs.back().steps.push_back(trainer.step(plan.batches[i], plan.size));
    }
  }
  if (options.save_weights.empty()) return;
  try {
    nn::save(trainer.model(), options.save_weights, {{"model", plan.workload.spec.name}});
    result.saved_weights = options.save_weights;
  } catch (const FileError& error) {  // a full disk; what was trained is told all the same
    result.not_saved = error.what();
  }
}

/// Advice never takes the place of the error that it is about.
std::vector<std::string> changes_that_fit(const Plan& plan, std::int64_t batch, const Device& device) {
  try {
    return training::changes_that_fit(run_plan(plan, batch, device), device.name());
  } catch (const Error& error) {
    complain(fmt::format("what would make it fit was not found: {}", error.what()));
    return {};
  }
}

/// What a recording of these steps says about itself.
memory::RecordingAbout about(const Plan& plan, const Device& device) {
  return training::about(run_plan(plan, plan.batches.front(), device));
}

/// Writes down what happens on the device, to a file and for a page, as far as that was asked for.
struct Watchers {
  std::optional<memory::Recorder> file, page;

  Watchers(const StepOptions& options, const Plan& plan, const Device& device) {
    memory::CachingAllocator& allocator = device.allocator();
    if (!options.record.empty()) file.emplace(memory::record(allocator, options.record, about(plan, device)));
    if (!options.report.empty()) page.emplace(memory::record(allocator, memory::Ring{}, about(plan, device)));
  }
};

int show(const StepOptions& options) {
  const Plan plan = read(options);
  const Device device = open(options, plan.workload);
  check_layout(plan.workload, device);
  check_files(options, device);
  StepResult result{.workload = &plan.workload,
                    .device = device.name(),
                    .decisions = {},
                    .training = plan.training,
                    .timed = options.time,
                    .parameters = models::parameter_count(plan.workload.spec),
                    .weights = options.weights,
                    .data = options.data,
                    .samples = plan.data ? plan.data->samples() : 0};
  auto watchers = writing([&] { return Watchers(options, plan, device); });
  try {
    train(plan, options, device, result);
  } catch (const OutOfMemory& error) {
    result.out_of_memory = error;
    complain(error.what());  // before anything else is tried, which takes its time
    if (!result.runs.empty()) result.changes = changes_that_fit(plan, result.runs.back().batch, device);
  } catch (const ShapeError& error) {
    const std::string data = plan.data ? fmt::format("\nin {}", plan.data->path()) : "";
    refuse_shape(ShapeError(error.what() + data), plan.workload.spec, plan.size);
  }
  if (watchers.file) writing([&] { watchers.file->stop(); });
  std::optional<memory::Recording> recording;
  if (watchers.page) recording = watchers.page->recording();
  result.statistics = device.allocator().statistics();
  if (device.backend().conv_passes() > 0) result.decisions = device.backend().decisions().source();
  result.estimated_workspaces = device.backend().estimated_plans();
  if (options.json)
    print_json(to_json(result));
  else
    print(text(result));
  if (recording) {
    const std::string name = fmt::format("{}, batch {}", plan.workload.spec.name, fmt::join(plan.batches, ", "));
    write_page(options.report, {{*recording, name}});
  }
  if (!result.not_saved.empty()) complain(result.not_saved);
  if (!result.out_of_memory) return result.not_saved.empty() ? fine : failed;
  if (!result.changes.empty()) complain("what makes it fit, each tried on a virtual device:");
  for (const std::string& change : result.changes) complain("  " + change);
  return out_of_memory;
}

}  // namespace

void add_step(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("step", "Training steps of a model: losses, bytes, and what held them at the peak.");
  const auto options = std::make_shared<StepOptions>();
  add_workload(*verb, options->workload);
  verb->add_option("--device", options->device, "cpu, cpu:2GiB, virtual:cpu, virtual:h200, virtual:16GiB, ... (cpu)");
  verb->add_option("--batch", options->batch, "Batch sizes in turn, such as 64,8,32,4.");
  verb->add_option("--size", options->size, "Edge length of the input.");
  add_training(*verb, options->training);
  verb->add_option("--steps", options->steps, "Steps for each batch size. (1)");
  verb->add_option("--weights", options->weights,
                   "Begin with the parameters and buffers of this file (safetensors, as PyTorch writes it), by name.");
  verb->add_option("--save-weights", options->save_weights, "Write them to this file after the last step.");
  verb->add_option(
      "--data", options->data,
      "Train on this file (safetensors): input (samples, channels, sizes...), and target (samples) or, with "
      "a class for each voxel, (samples, sizes...), int64. Taken in order, then from the first one again. "
      "(random numbers)");
  verb->add_flag("--empty-cache", options->empty_cache, "Empty the allocator's cache between the batch sizes.");
  CLI::Option* allocator = verb->add_option(
      "--allocator", options->allocator, "Allocator options; with --policy pytorch they are expandable_segments:True.");
  verb->add_option("--seed", options->seed, "Of all random numbers. (0)");
  verb->add_option("--record", options->record, "Also write everything that happens to memory to this file.");
  add_page_option(*verb, options->report);
  verb->add_flag("--time", options->time, "In the JSON object also the seconds that each step took.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, allocator] {
    options->has_allocator = allocator->count() > 0;
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
