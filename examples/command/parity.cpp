// mnemo parity: whether a virtual device does byte for byte what the real one does, measured.
#include "command/parity.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/training_options.h"
#include "models/layer.h"

namespace mnemo::command {

namespace {

struct ParityOptions {
  std::string device = "cuda";
  std::string against;  ///< empty: the device's twin
  std::vector<std::string> models;
  std::string batch, size, dtype, optimizer;  ///< empty: the usual ones
  std::string steps = "3";
  std::string allocator;
  bool has_allocator = false;
  bool small = false;
  bool graph = false;
  bool no_plans = false;
  double seconds = 0, seconds_per_point = 60, plan_seconds = 120;
  std::string check;  ///< a file, or none
  bool json = false;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::vector<models::Spec> read_models(const std::vector<std::string>& words) {
  if (words.empty()) return {models::specs().begin(), models::specs().end()};
  std::vector<std::pair<std::string, const models::Spec*>> names;
  for (const models::Spec& known : models::specs()) names.emplace_back(known.name, &known);
  std::vector<models::Spec> specs;
  for (const std::string& word : words) {
    if (models::is_layer(word)) {
      specs.push_back(models::layer_spec(word));
      continue;
    }
    for (const std::string& name : split(word)) specs.push_back(*choose("--models", name, names));
  }
  return specs;
}

/// The usual points of one model, or those that the options ask for.
std::vector<training::ParityPoint> points_of(const models::Spec& spec, const ParityOptions& options) {
  std::vector<training::ParityPoint> points = training::usual_points(spec, options.small);
  // Every value given takes the place of the usual ones.
  const auto spread = [&points](auto values, auto set) {
    const std::vector<training::ParityPoint> before = std::move(points);
    points.clear();
    std::set<std::string> seen;
    for (const training::ParityPoint& point : before) {
      for (const auto& value : values) {
        training::ParityPoint other = point;
        set(other, value);
        if (seen.insert(other.text()).second) points.push_back(std::move(other));
      }
    }
  };
  using training::ParityPoint;
  if (!options.batch.empty() && spec.size > 0) {
    spread(read_counts("--batch", options.batch), [](ParityPoint& point, std::int64_t batch) { point.batch = batch; });
  }
  if (!options.size.empty() && spec.size > 0) {
    std::vector<std::int64_t> sizes = read_counts("--size", options.size);
    std::erase_if(sizes, [&spec](std::int64_t size) { return !spec.sizes.contains(size); });
    if (sizes.empty())
      throw UsageError(fmt::format("--size {}: {} takes {}", options.size, spec.name, spec.sizes.text()));
    spread(sizes, [](ParityPoint& point, std::int64_t size) { point.size = size; });
  }
  if (!options.dtype.empty()) {
    spread(split(options.dtype), [](ParityPoint& point, const std::string& dtype) {
      try {
        training::read_dtype(dtype, point.training);
      } catch (const ConfigError& error) {
        throw UsageError(fmt::format("--dtype: {}", error.what()));
      }
    });
  }
  if (!options.optimizer.empty()) {
    spread(split(options.optimizer),
           [](ParityPoint& point, const std::string& rule) { point.training.rule = read_rule(rule); });
  }
  for (training::ParityPoint& point : points) point.training.graph = options.graph;
  return points;
}

Device open(const ParityOptions& options, const std::string& device) {
  if (!options.has_allocator) return Device::open(device);
  return Device::open(device, memory::AllocatorConfig::parse(options.allocator));
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Both sides of every point, and the convolution passes that they ran, each once.
class Comparison {
 public:
  Comparison(const ParityOptions& options, const Device& device, const Device& twin, Parity& parity)
      : options_(options), device_(device), twin_(twin), parity_(parity) {}

  void compare(const training::ParityPoint& point) {
    ParityResult result{.point = point, .device = {}, .twin = {}, .skipped = {}, .difference = {}};
    try {
      run(result);
    } catch (const std::exception& error) {
      result.skipped = fmt::format("failed: {}", error.what());
      ++parity_.failures;
    }
    parity_.points.push_back(std::move(result));
  }

  void compare_plans() {
    const auto begin = std::chrono::steady_clock::now();
    std::set<std::string> seen;
    for (const ConvTrace::Entry& entry : passes_) {
      const std::string pass = pass_text(entry);
      if (!seen.insert(pass).second) continue;
      if (seconds_since(begin) > options_.plan_seconds) {
        ++parity_.plans_left_out;
        continue;
      }
      parity_.plans.push_back({.pass = pass,
                               .device = plan_rows(entry, device_.backend().decisions()),
                               .twin = plan_rows(entry, twin_.backend().decisions()),
                               .asked = true});
    }
  }

 private:
  bool out_of_time() const { return options_.seconds > 0 && seconds_since(begin_) > options_.seconds; }

  void run(ParityResult& result) {
    if (out_of_time()) {
      result.skipped = fmt::format("the {} s of --seconds are over", options_.seconds);
      return;
    }
    const training::ParityLimits limits{.steps = parity_.steps, .seconds = options_.seconds_per_point};
    // The twin first: it takes no time, and knows how much work it is.
    training::ParityRun twin;
    try {
      twin = training::run_point(result.point, twin_, limits);
    } catch (const ShapeError& error) {
      result.skipped = error.what();  // such as a batch normalization over a single value
      return;
    }
    const double expected = rate_ > 0 ? static_cast<double>(twin.operations) / rate_ : 0;
    if (!device_.is_virtual() && limits.seconds > 0 && expected > limits.seconds) {
      result.skipped = fmt::format("about {:.0f} s at the speed of the fastest point so far", expected);
      return;
    }
    const training::ParityRun run = training::run_point(result.point, device_, limits);
    if (run.seconds > 0) rate_ = std::max(rate_, static_cast<double>(run.operations) / run.seconds);
    passes_.insert(passes_.end(), run.convolutions.begin(), run.convolutions.end());
    result.skipped = run.skipped;
    if (!result.skipped.empty()) return;
    result.device = run.moments;
    result.twin = twin.moments;  // none, if the twin thinks that it does not fit: then that is a difference
    result.difference = training::difference(result.device, result.twin);
  }

  const ParityOptions& options_;
  const Device &device_, &twin_;
  Parity& parity_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  double rate_ = 0;  ///< operations per second, at best
  std::vector<ConvTrace::Entry> passes_;
};

Parity record(const ParityOptions& options) {
  std::vector<std::vector<training::ParityPoint>> by_model;
  for (const models::Spec& spec : read_models(options.models)) by_model.push_back(points_of(spec, options));
  // The first point of every model before any model's second: time may be over before all are done.
  std::vector<training::ParityPoint> points;
  std::size_t most = 0;
  for (const auto& own : by_model) most = std::max(most, own.size());
  for (std::size_t i = 0; i < most; ++i) {
    for (auto& own : by_model) {
      if (i < own.size()) points.push_back(std::move(own[i]));
    }
  }
  Parity parity;
  parity.steps = read_count("--steps", options.steps);
  const Device device = open(options, options.device);
  const std::string against = options.against.empty() ? training::twin_of(device) : options.against;
  if (against.empty()) {
    throw UsageError(
        fmt::format("no card has the title \"{}\": give --against, such as virtual:h200", device.backend().title()));
  }
  const Device twin = open(options, against);
  if (device.is_virtual() && twin.name() == device.name()) {
    throw UsageError(fmt::format(
        "--device {}: this would compare a virtual device with itself; give a real one, such as cuda or cpu, or "
        "another card with --against",
        options.device));
  }
  if (!twin.is_virtual()) throw UsageError(fmt::format("--against {}: this is no virtual device", against));
  parity.device = describe_side(device);
  parity.against = describe_side(twin);
  parity.title = device.backend().title();
  parity.allocator = device.allocator().config().text();
  Comparison comparison(options, device, twin, parity);
  for (const training::ParityPoint& point : points) comparison.compare(point);
  if (!options.no_plans) comparison.compare_plans();
  return parity;
}

int show(const ParityOptions& options) {
  Parity parity;
  if (options.check.empty()) {
    parity = record(options);
  } else {
    parity = read_parity(options.check);
    check_again(parity);
  }
  if (options.json)
    print_json(to_json(parity));
  else
    print(text(parity));
  if (parity.difference() > 0 || parity.failures > 0) return failed;
  return parity.compared() > 0 ? fine : skipped;
}

}  // namespace

void add_parity(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "parity", "Whether a virtual device holds the same bytes as the real one after every part of every step.");
  verb->footer(
      "The virtual one may be told by --against; a virtual card as --device is compared with another one, not with "
      "itself.\n"
      "Exits with 1 when any figure of any point differs, with 77 when no point could be compared.\n"
      "Without options for them, every model is trained with several batches, sizes, dtypes and optimizers.");
  const auto options = std::make_shared<ParityOptions>();
  std::vector<CLI::Option*> recording{
      verb->add_option("--device", options->device, "The real one: cuda, cuda:1, cpu, cpu:2GiB. (cuda)"),
      verb->add_option("--against", options->against, "The virtual one. (the card with the device's title)"),
      verb->add_option("--models", options->models, "Models or layers; all models unless given."),
      verb->add_option("--batch", options->batch, "Batch sizes, such as 1,8."),
      verb->add_option("--size", options->size,
                       "Edge lengths of the input; those that a model does not take are left "
                       "out."),
      verb->add_option("--dtype", options->dtype,
                       "Of float32, float16, bfloat16, 'float16 autocast' and 'bfloat16 autocast', with commas."),
      verb->add_option("--optimizer", options->optimizer, "Of sgd, adam and adam8bit, with commas."),
      verb->add_option("--steps", options->steps, "Training steps at each point. (3)"),
      verb->add_flag("--small", options->small, "A quick set: batch 2, small inputs, float32 and bfloat16 autocast."),
      verb->add_flag("--graph", options->graph, "Steps that are recorded once and then repeated."),
      verb->add_flag("--no-plans", options->no_plans, "Leave out the plans of the convolutions."),
      verb->add_option("--seconds", options->seconds, "After this time the points that are left are skipped. (none)"),
      verb->add_option("--seconds-per-point", options->seconds_per_point,
                       "A point that takes longer on the device is skipped; 0: none is. (60)"),
      verb->add_option("--plan-seconds", options->plan_seconds, "For asking for plans. (120)")};
  CLI::Option* allocator = verb->add_option("--allocator", options->allocator, "Allocator options of both devices.");
  recording.push_back(allocator);
  CLI::Option* check = verb->add_option(
      "--check", options->check, "Compares the device's side of this file, which --json wrote, with the virtual one.");
  for (CLI::Option* option : recording) check->excludes(option);
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, allocator] {
    options->has_allocator = allocator->count() > 0;
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
