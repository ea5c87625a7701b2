// mnemo fit: what fits into a device's memory, and how.
#include "command/fit.h"

#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/training_options.h"
#include "training/checkpointing.h"
#include "training/parity.h"

namespace mnemo::command {

namespace {

struct FitOptions {
  WorkloadOptions workload = {};
  TrainingOptions training = {};
  std::string device = "virtual:h200";
  std::string memory, batch, size, limit, allow;
  std::string steps = "2";
  bool has_device = false;
  bool json = false;
};

std::string read_device(const FitOptions& options) {
  std::string size = options.memory;
  if (!size.empty()) {
    memory::parse_bytes(size);
    std::erase(size, ' ');
    if (!options.has_device) return fmt::format("virtual:{}", size);
  }
  std::string name = options.device;
  if (!name.starts_with("virtual:")) {
    const Device device(name);
    const memory::Source& source = device.allocator().source();
    name = training::required_twin(device);
    if (size.empty() && source.others_bytes() > 0) size = fmt::format("{}", source.capacity() - source.others_bytes());
  }
  if (size.empty()) return name;
  if (card_of_device(name) == nullptr)
    throw UsageError(fmt::format("--memory goes with a card, and --device {} is none; leave one out", options.device));
  return fmt::format("{},{}", name, size);
}

std::vector<Technique> read_allowed(const std::string& text) {
  std::vector<std::pair<std::string, Technique>> words;
  std::vector<Technique> all;
  for (int i = 0; i < kTechniques; ++i) {
    all.push_back(static_cast<Technique>(i));
    words.emplace_back(name(all.back()), all.back());
  }
  words.emplace_back("inplace", Technique::in_place);
  if (text.empty() || text == "all") return all;
  if (text == "none") return {};
  std::vector<Technique> allowed;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    allowed.push_back(choose<Technique>("--allow", text.substr(begin, end - begin), words));
    begin = end + 1;
  }
  return allowed;
}

int show_batches(const FitOptions& options, const FitQuestion& question) {
  BatchSearch search{.device = question.device, .config = question.run.device.allocator().config()};
  if (!options.limit.empty()) search.limit = read_count("--limit", options.limit);
  // Who waits is told every two seconds.
  using Clock = std::chrono::steady_clock;
  search.progress = [told = Clock::now()](std::int64_t done, std::int64_t of) mutable {
    if (Clock::now() - told < std::chrono::seconds(2)) return;
    told = Clock::now();
    memory::log_info(fmt::format("{} of {} batch sizes tried", done, of));
  };
  const FittingBatches found =
      fitting_batches(search, [&](std::int64_t batch) { training::train(question.run, {.batch = batch}); });
  if (options.json)
    print_json(to_json(found));
  else
    print(text(question, found));
  return found.fits.empty() ? out_of_memory : fine;
}

int show_plan(const FitOptions& options, const FitQuestion& question) {
  Fitting fitting(training::fit_request(question.run, question.device, read_allowed(options.allow)));
  FitAnswer answer{.chosen = fitting.as_it_is(), .plain = fitting.plain()};
  if (!answer.chosen.fits) {
    std::vector<FitTrial> found = fitting.cheapest(3);
    if (!found.empty()) {
      answer.chosen = std::move(found.front());
      answer.others.assign(std::make_move_iterator(found.begin() + 1), std::make_move_iterator(found.end()));
    }
  }
  answer.dry_runs = fitting.dry_runs();
  if (options.json)
    print_json(to_json(question, answer));
  else
    print(text(question, answer));
  return answer.chosen.fits ? fine : out_of_memory;
}

int show(const FitOptions& options) {
  const Workload workload = read_workload(options.workload);
  FitQuestion question;
  question.device = read_device(options);
  training::RunPlan& run = question.run;
  run.spec = workload.spec;
  run.policy = workload.policy;
  run.training = read_training(options.training, workload);
  run.batch = options.batch.empty() ? workload.spec.batch : read_count("--batch", options.batch);
  run.size = options.size.empty() ? workload.spec.size : read_count("--size", options.size);
  run.steps = read_count("--steps", options.steps);
  using Kind = training::CheckpointRequest::Kind;
  const training::CheckpointRequest request = training::read_checkpoint_request(options.training.checkpoint);
  if (request.kind == Kind::automatic || request.kind == Kind::budget)
    throw UsageError("--checkpoint: here it is a number of segments or a plan; which one is best, --batch finds out");
  if (request.kind == Kind::given) run.checkpoint = request.plan;
  const models::Spec& spec = workload.spec;
  if (!takes_size(spec, run.size))
    throw UsageError(fmt::format("--size: {} takes {}, not {}", spec.name, spec.sizes.text(), run.size));
  run.device = open_device(question.device, run.policy);
  check_layout(workload, run.device);
  if (request.kind == Kind::segments) {
    const DeviceScope on_device(Device::open(without_limit(question.device)));
    run.checkpoint = even_segments(spec.make()->stages().size(), request.segments);
  }
  return options.batch.empty() ? show_batches(options, question) : show_plan(options, question);
}

}  // namespace

/// `--json` without --batch prints {"fits": [[FIRST, LAST], ...], "largest_batch", "first_failure": {"batch",
/// "requested", "phase", "op", "module", "reason"} or null, "exact", "dry_runs", "seconds"}. With --batch it prints
/// {"fits": true|false, "choices": [...], "techniques", "workspace" ({PATH: BYTES}), "step" (the arguments of mnemo
/// step that train so), "peak_allocated", "peak_reserved", "extra_operations", "extra_seconds" (null without a card),
/// "code", "others": [the same of other ways that fit], "dry_runs"}.
void add_fit(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "fit", "Which batch sizes fit into a device's memory; with --batch, the cheapest way to make that one fit.");
  const auto options = std::make_shared<FitOptions>();
  add_workload(*verb, options->workload);
  CLI::Option* device = verb->add_option(
      "--device", options->device, "A virtual device, or a GPU for which the one of its card stands. (virtual:h200)");
  verb->add_option("--memory", options->memory,
                   "What the device holds, such as 24GiB: of the card of --device, or of a device of no known kind.");
  verb->add_option("--batch", options->batch, "A batch size that shall fit.");
  verb->add_option("--size", options->size, "Edge length of the input.");
  verb->add_option("--allow", options->allow,
                   "What may be done to make --batch fit: in-place, optimizer-in-backward, workspace, amp, accumulate, "
                   "checkpoint, offload; with commas between. (all)");
  add_training(*verb, options->training);
  verb->add_option("--limit", options->limit, "Without --batch: no larger batch is looked at.");
  verb->add_option("--steps", options->steps, "Training steps of each dry run. (2)");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, device] {
    options->has_device = device->count() > 0;
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
