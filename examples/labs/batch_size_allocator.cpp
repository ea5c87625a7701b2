// Claim E6: the allocator's options, where every step has another batch size.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/batch_size.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;
using memory::MiB;

constexpr std::int64_t kSteps = 20, kLargest = 16, kEdge = 224, kTries = 24;

/// What is tried. In resnet18 the larger blocks have 3 MiB for each image, so that a limit of 20 MiB for splitting
/// acts.
struct Options {
  const char* name;
  const char* text;
};
constexpr Options kOptions[] = {
    {"defaults", ""},
    {"max_split_size_mb:20", "max_split_size_mb:20"},
    {"expandable_segments:True", "expandable_segments:True"},
    {"roundup_power2_divisions:4", "roundup_power2_divisions:4"},
    // The threshold is looked at only where there is a fraction.
    {"garbage collection at 80 %", "garbage_collection_threshold:0.8,per_process_memory_fraction:0.99"}};

/// What resnet18 asks of the allocator with these batches, one after the other, and what that reserves at most.
struct Run {
  memory::CallTrace calls;
  Bytes peak_reserved = 0;
};
Run run(const std::vector<std::int64_t>& batches, const std::string& options, const std::string& name) {
  const Device device = open_device(shape_only(name), memory::AllocatorConfig::parse(options));
  const DeviceScope scope(device);
  memory::Recorder recorder = memory::record(memory::Ring{}, device);
  manual_seed(0);
  Run result;
  {
    training::Trainer trainer(*models::find_spec("resnet18"), training::Rule::sgd);
    for (const std::int64_t batch : batches)
      result.peak_reserved = std::max(result.peak_reserved, trainer.step(batch, kEdge).peak_reserved);
  }
  result.calls = memory::calls_of(recorder.recording());
  return result;
}

/// The same calls under other options, on a device of so much memory (0: without a limit), of which the context is
/// taken.
memory::ReplayResult again(const Run& run, const std::string& options, Bytes capacity, Bytes context = 0) {
  return memory::replay(run.calls,
                        {.config = memory::AllocatorConfig::parse(options), .capacity = capacity, .context = context});
}

/// The smallest device on which no request fails, in steps of 2 MiB.
Bytes smallest_device(const Run& run, const std::string& options) {
  const memory::ReplayResult unlimited = again(run, options, 0);
  const auto runs = [&](Bytes capacity) { return again(run, options, capacity).statistics.num_ooms == 0; };
  return memory::find_threshold(memory::round_up(unlimited.peak_allocated, 2 * MiB) - 2 * MiB,
                                2 * memory::round_up(unlimited.peak_reserved, 2 * MiB), 2 * MiB, kTries, runs)
      .at;
}

struct Trial {
  Options options;
  Bytes smallest = 0;         ///< device on which no request fails
  std::int64_t failures = 0;  ///< of requests, in the capacity at which they are compared
};

/// The batches of the steps: as drawn, ascending, and the largest first.
struct Batches {
  std::vector<std::int64_t> drawn, ascending, descending;
};
Batches draw_batches() {
  manual_seed(0);
  const Device cpu = Device::open("cpu", {});
  Batches batches;
  batches.drawn = randint(1, kLargest + 1, {kSteps}, {.dtype = DType::int64, .device = cpu}).values<std::int64_t>();
  batches.ascending = batches.drawn;
  std::sort(batches.ascending.begin(), batches.ascending.end());
  batches.descending.assign(batches.ascending.rbegin(), batches.ascending.rend());
  return batches;
}

/// "x0.94 with expandable_segments:True, ...": the smallest devices
std::string compared(const std::vector<Trial>& trials) {
  std::string text;
  for (const Trial& trial : trials) {
    if (&trial == &trials.front()) continue;
    text += fmt::format("{}{} with {}", text.empty() ? "" : ", ", times(trial.smallest, trials.front().smallest),
                        trial.options.name);
  }
  return text;
}

}  // namespace

Row allocator_options_row(const std::string& name) {
  const Batches batches = draw_batches();
  const Run recorded = run(batches.drawn, "", name);
  Row row{.claim = "E6",
          .statement = "The allocator's configuration can help where batches vary.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const auto figure = [&](const std::string& what, std::int64_t measured, std::optional<std::int64_t> predicted = {}) {
    row.figures.push_back({what, predicted, measured});
  };
  std::vector<Trial> trials;
  figure("peak allocated", again(recorded, "", 0).peak_allocated);
  for (const Options& options : kOptions) {
    // Predicted by a replay of the run under the defaults, measured by a run under these options.
    figure(fmt::format("peak reserved, {}", options.name), run(batches.drawn, options.text, name).peak_reserved,
           again(recorded, options.text, recorded.calls.capacity(), recorded.calls.context()).peak_reserved);
    trials.push_back({.options = options, .smallest = smallest_device(recorded, options.text)});
  }
  const auto by_memory = [](const Trial& a, const Trial& b) { return a.smallest < b.smallest; };
  const Trial &defaults = trials.front(), &best = *std::min_element(trials.begin(), trials.end(), by_memory),
              &worst = *std::max_element(trials.begin(), trials.end(), by_memory);
  const Bytes capacity = memory::round_up((best.smallest + defaults.smallest) / 2, 2 * MiB);
  for (Trial& trial : trials) {
    const memory::ReplayResult result = again(recorded, trial.options.text, capacity);
    trial.failures = result.statistics.num_ooms;
    const auto of = [&](const std::string& what) { return fmt::format("{}, {}", what, trial.options.name); };
    figure(of("smallest memory in which no request fails"), trial.smallest);
    figure(of(fmt::format("requests that fail in {} (not bytes)", format_bytes(capacity))), trial.failures);
    figure(of(fmt::format("retries in {} (not bytes)", format_bytes(capacity))), result.statistics.num_alloc_retries);
  }
  const Bytes rising = run(batches.ascending, "", name).peak_reserved,
              falling = run(batches.descending, "", name).peak_reserved;
  figure("peak reserved, defaults, batches in ascending order", rising);
  figure("peak reserved, defaults, largest batch first", falling);
  const bool helps = 100 * best.smallest < 99 * defaults.smallest;
  const bool hurts = 100 * worst.smallest > 101 * defaults.smallest;
  row.verdict = helps ? Verdict::holds : hurts ? Verdict::depends : Verdict::fails;
  row.because = fmt::format(
      "the defaults need a device of {}; it becomes {}. In {} {} requests fail with the defaults, {} with {}. In "
      "ascending order the same batches reserve {} of what they do with the largest first",
      format_bytes(defaults.smallest), compared(trials), format_bytes(capacity), defaults.failures, best.failures,
      best.options.name, times(rising, falling));
  row.mechanism =
      "20 steps of resnet18 with batches of 1 to 16, as drawn. A request of another size fits the cached pieces badly: "
      "what they have left over lies idle. Expandable segments can grow instead. A limit for splitting keeps large "
      "blocks whole, so that each serves one request at a time; rounding makes sizes more alike, and each larger. The "
      "garbage collection (garbage_collection_threshold:0.8, which acts only beside per_process_memory_fraction) gives "
      "unused segments back before memory runs out, which can spare retries. "
      "`mnemo tune-allocator` tries the options on a program of your own";
  return row;
}

}  // namespace mnemo::labs
