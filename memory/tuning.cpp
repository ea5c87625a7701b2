#include <mnemo/memory/tuning.h>

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/replay.h>
#include <mnemo/memory/rounding.h>

namespace mnemo::memory {
namespace {

/// Calls that the search for one configuration's smallest device makes at most, about: a few seconds.
constexpr std::int64_t kSearchCalls = 10'000'000;

std::size_t count_options(const std::string& text) {
  return text.empty() ? 0 : 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), ':'));
}

/// Neither may be so large that a sum overflows: where no device is large enough, both are kUnlimited.
bool is_within_a_hundredth(Bytes bytes, Bytes least) { return bytes - least <= least / 100; }

class Tuner {
 public:
  Tuner(const CallTrace& trace, const TuningOptions& options) : trace_(trace), options_(options) {}

  Tuning run() {
    const TunedConfig defaults = *try_config("");
    for (const std::string& text : single_options(trace_, options_.memory)) try_config(text);
    try_divisions_by_size();
    combine();
    if (const std::string recorded = trace_.config().text(); !recorded.empty()) {
      try_config(recorded);
      for (TunedConfig& config : tuning_.configs) config.recorded = config.config.text() == recorded;
    } else {
      tuning_.configs.front().recorded = trace_.recording.has_value();
    }
    for (TunedConfig& config : tuning_.configs) look_closer(config);
    choose();
    say();
    return std::move(tuning_);
  }

 private:
  ReplayResult replayed(const AllocatorConfig& config, ReplayOptions how) const {
    how.config = config;
    how.context = options_.context;
    return replay(trace_, how);
  }

  /// Adds the configuration unless it is there already; it stays where it is only until the next one is added.
  TunedConfig* try_config(const std::string& text) {
    const AllocatorConfig config = AllocatorConfig::parse(text);
    for (TunedConfig& known : tuning_.configs) {
      if (known.config.text() == config.text()) return &known;
    }
    if (options_.progress) options_.progress(text);
    const ReplayResult result = replayed(config, {});
    TunedConfig tuned;
    tuned.text = text;
    tuned.config = config;
    tuned.peak_allocated = result.peak_allocated;
    tuned.peak_reserved = result.peak_reserved;
    tuned.allocated_at_peak = result.allocated_at_peak;
    tuned.device_calls = result.statistics.num_device_alloc + result.statistics.num_device_free;
    tuned.failures = result.statistics.num_ooms;
    calls_to_peak_.push_back(result.calls_to_peak);
    tuning_.configs.push_back(std::move(tuned));
    return &tuning_.configs.back();
  }

  Bytes default_peak() const { return tuning_.configs.front().peak_reserved; }

  /// Divisions for each power of two on its own: those that lower the peak, together.
  void try_divisions_by_size() {
    std::array<bool, 16> seen{};
    for (const Call& call : trace_.calls) {
      if (call.kind != Call::Kind::malloc || call.bytes <= kSmallLimit) continue;
      std::size_t index = 0;
      for (Bytes size = call.bytes / MiB; size > 1 && index < 15; size /= 2) ++index;
      seen[index] = true;
    }
    std::array<int, 16> chosen{};
    Bytes least = default_peak();
    for (std::size_t i = 0; i < 16; ++i) {
      for (const int divisions : {8, 4, 2}) {
        if (!seen[i]) break;
        std::array<int, 16> table = chosen;
        table[i] = divisions;
        AllocatorConfig config;
        config.roundup_power2_divisions = table;
        const Bytes peak = replayed(config, {}).peak_reserved;
        if (peak >= least) continue;
        least = peak;
        chosen = table;
      }
    }
    if (chosen != std::array<int, 16>{}) try_config("roundup_power2_divisions:" + divisions_text(chosen));
  }

  /// The text of those beginning with `key` that reserves least, if that is less than the defaults do.
  std::string best_of(std::string_view key) const {
    const TunedConfig* best = nullptr;
    for (const TunedConfig& config : tuning_.configs) {
      if (!config.text.starts_with(key) || config.peak_reserved >= default_peak()) continue;
      if (best == nullptr || config.peak_reserved < best->peak_reserved) best = &config;
    }
    return best == nullptr ? "" : best->text;
  }

  void combine() {
    const std::string split = best_of("max_split_size_mb");
    const std::string divisions = best_of("roundup_power2_divisions");
    const std::string large = best_of("large_segment_size_mb");
    const std::pair<std::string, std::string> pairs[] = {{split, divisions}, {split, large}, {divisions, large}};
    for (const auto& [a, b] : pairs) {
      if (!a.empty() && !b.empty()) try_config(a + "," + b);
    }
    // Slack for reuse has a meaning only where large blocks stay whole.
    if (!split.empty()) try_config(split + ",max_non_split_rounding_mb:2");
    if (!split.empty()) try_config(split + ",max_non_split_rounding_mb:64");
    if (!divisions.empty()) try_config("expandable_segments:True," + divisions);
    if (options_.memory > 0 && !split.empty()) {
      try_config(split + ",garbage_collection_threshold:0.8,per_process_memory_fraction:0.98");
    }
  }

  void look_closer(TunedConfig& config) const {
    const auto index = static_cast<std::size_t>(&config - tuning_.configs.data());
    if (options_.progress) options_.progress(config.text);
    config.fragmentation = replayed(config.config, {.calls = calls_to_peak_[index]}).fragmentation();
    if (options_.memory > 0) {
      const ReplayResult result = replayed(config.config, {.capacity = options_.memory});
      const Statistics& statistics = result.statistics;
      config.limited = {.fits = statistics.num_ooms == 0,
                        .failures = statistics.num_ooms,
                        .retries = statistics.num_alloc_retries,
                        .device_calls = statistics.num_device_alloc + statistics.num_device_free,
                        .peak_reserved = result.peak_reserved};
    }
    if (config.failures == 0) find_smallest(config);
  }

  void find_smallest(TunedConfig& config) const {
    // Segments are multiples of it, and so is what a device that matters has room for.
    const Bytes step = config.config.large_segment_size % (2 * MiB) == 0 ? 2 * MiB : MiB;
    const auto runs = [&](Bytes room) {
      Bytes capacity = room + options_.context;
      if (config.config.memory_fraction < 1) {
        const double fraction = config.config.memory_fraction;
        capacity = std::max(capacity, static_cast<Bytes>(static_cast<double>(room) / fraction) + 1);
      }
      return replayed(config.config, {.capacity = capacity, .stop_when_full = true}).statistics.num_ooms == 0;
    };
    // Beyond the size that no request may have, sums and shares of capacities would overflow.
    Bytes high = std::min(std::max(step, round_up(config.peak_reserved, step)), kTooLarge);
    for (int i = 0; i < 3 && !runs(high); ++i) high = std::min(round_up(high + high / 4, step), kTooLarge);
    if (!runs(high)) return;
    const auto calls = static_cast<std::int64_t>(trace_.calls.size() + trace_.blocks_before.size()) + 1;
    const Threshold found = find_threshold(0, high, step, std::max<std::int64_t>(12, kSearchCalls / calls), runs);
    config.smallest = found.at + options_.context;
    config.smallest_exact = found.exact;
    if (found.below) config.also_fits = *found.below + options_.context;
  }

  /// Whether `a` is to be recommended rather than `b`, but for peaks.
  static auto cost(const TunedConfig& config) {
    const auto limited = config.limited.value_or(TunedConfig::Limited{.fits = true});
    return std::tuple(!limited.fits, limited.failures, limited.retries);
  }
  static Bytes peak(const TunedConfig& config) {
    return config.limited ? config.limited->peak_reserved : config.peak_reserved;
  }

  void choose() {
    const std::vector<TunedConfig>& configs = tuning_.configs;
    const bool none_fits = options_.memory > 0 && std::none_of(configs.begin(), configs.end(),
                                                               [](const auto& config) { return config.limited->fits; });
    const auto need = [&](const TunedConfig& config) {
      return none_fits ? config.smallest.value_or(AllocatorConfig::kUnlimited) : peak(config);
    };
    const auto level = [&](const TunedConfig& config) {
      return none_fits ? std::tuple(config.failures > 0, std::int64_t{0}, std::int64_t{0}) : cost(config);
    };
    const auto lowest = std::min_element(configs.begin(), configs.end(), [&](const auto& a, const auto& b) {
      return std::pair(level(a), need(a)) < std::pair(level(b), need(b));
    });
    const auto calls = [](const TunedConfig& config) {
      return config.limited ? config.limited->device_calls : config.device_calls;
    };
    const TunedConfig* best = nullptr;
    for (const TunedConfig& config : configs) {
      if (level(config) != level(*lowest) || !is_within_a_hundredth(need(config), need(*lowest))) continue;
      const auto order = [&](const TunedConfig& one) {
        return std::tuple(!one.text.empty(), count_options(one.text), calls(one), need(one));
      };
      if (best == nullptr || order(config) < order(*best)) best = &config;
    }
    tuning_.best = static_cast<std::size_t>(best - configs.data());
  }

  void say() {
    const TunedConfig& best = tuning_.recommended();
    const TunedConfig& defaults = tuning_.defaults();
    std::string& answer = tuning_.answer;
    const auto reserves = [](const TunedConfig& config) {
      return fmt::format("{} for {} of blocks", format_bytes(config.peak_reserved),
                         format_bytes(config.peak_allocated));
    };
    if (best.text.empty()) {
      answer =
          fmt::format("The defaults are best: they reserve {} at the peak, and none of the other {} configurations ",
                      reserves(defaults), tuning_.configs.size() - 1);
      answer += defaults.limited && !defaults.limited->fits ? "makes it fit in less." : "is better by 1 % or more.";
    } else {
      const Bytes saved = defaults.peak_reserved - best.peak_reserved;
      answer = fmt::format(
          "{} reserves {} at the peak, where the defaults reserve {}: {} {} ({:.1f} %).", best.text, reserves(best),
          format_bytes(defaults.peak_reserved), format_bytes(saved < 0 ? -saved : saved), saved < 0 ? "more" : "less",
          defaults.peak_reserved == 0
              ? 0.0
              : 100.0 * static_cast<double>(saved < 0 ? -saved : saved) / static_cast<double>(defaults.peak_reserved));
      answer += fmt::format(" It calls the device {} times instead of {}.", best.device_calls, defaults.device_calls);
    }
    if (best.smallest) {
      answer += fmt::format(" The smallest device on which it runs has {}", format_bytes(*best.smallest));
      if (!best.text.empty() && defaults.smallest) {
        answer += fmt::format(" (with the defaults {})", format_bytes(*defaults.smallest));
      }
      answer += ".";
    } else {
      answer += best.failures > 0
                    ? std::string(" A request fails on any device.")
                    : fmt::format(" No device of up to {} was found on which it runs.", format_bytes(kTooLarge));
    }
    if (options_.memory == 0) return;
    const auto fate = [](const TunedConfig& config) {
      const TunedConfig::Limited& limited = *config.limited;
      if (!limited.fits) return fmt::format("{} requests fail", limited.failures);
      return limited.retries == 0
                 ? std::string("it fits")
                 : fmt::format("it fits after {} retries, each of which waits for the device", limited.retries);
    };
    answer += fmt::format(" In {} {}", format_bytes(options_.memory), fate(best));
    if (!best.text.empty()) answer += fmt::format("; with the defaults {}", fate(defaults));
    answer += ".";
  }

  const CallTrace& trace_;
  const TuningOptions& options_;
  Tuning tuning_;
  std::vector<std::size_t> calls_to_peak_;  // of each configuration
};

}  // namespace

Tuning tune(const CallTrace& trace, const TuningOptions& options) { return Tuner(trace, options).run(); }

std::vector<std::string> single_options(const CallTrace& trace, Bytes memory) {
  Bytes largest = 0;
  bool shared = false;  // segments of large_segment_size are
  for (const std::vector<Call>* calls : {&trace.blocks_before, &trace.calls}) {
    for (const Call& call : *calls) {
      if (call.kind != Call::Kind::malloc && call.kind != Call::Kind::attempt) continue;
      largest = std::max(largest, call.bytes);
      shared |= call.bytes > kSmallLimit && call.bytes < kOwnSegment;
    }
  }
  std::vector<std::string> texts;
  for (const int mebibytes : {20, 32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    // Blocks of what is never asked for come only out of segments, whose splitting the smallest value rules.
    if (mebibytes == 20 || mebibytes * MiB <= largest) texts.push_back(fmt::format("max_split_size_mb:{}", mebibytes));
  }
  for (const int divisions : {2, 4, 8, 16}) texts.push_back(fmt::format("roundup_power2_divisions:{}", divisions));
  if (shared) {
    for (const int mebibytes : {12, 32, 64, 128}) texts.push_back(fmt::format("large_segment_size_mb:{}", mebibytes));
  }
  texts.emplace_back("expandable_segments:True");
  if (shared) texts.emplace_back("expandable_segments:True,large_segment_size_mb:12");
  if (memory > 0) {
    // It needs a limit of its own to be measured against.
    for (const char* threshold : {"0.6", "0.8", "0.9"}) {
      texts.push_back(fmt::format("garbage_collection_threshold:{},per_process_memory_fraction:0.98", threshold));
    }
  }
  return texts;
}

std::string divisions_text(const std::array<int, 16>& divisions) {
  if (std::all_of(divisions.begin(), divisions.end(), [&](int value) { return value == divisions[0]; })) {
    return fmt::format("{}", divisions[0]);
  }
  // The first key also stands for those below it; those without a key are 0.
  std::string text;
  std::size_t first = 0;
  while (divisions[first + 1] == divisions[0]) ++first;
  for (std::size_t i = first; i < divisions.size(); ++i) {
    if (i > first && divisions[i] == 0) continue;
    text += fmt::format("{}{}:{}", text.empty() ? "[" : ",", std::uint64_t{1} << i, divisions[i]);
  }
  return text + "]";
}

Threshold find_threshold(Bytes low, Bytes high, Bytes step, std::int64_t tries,
                         const std::function<bool(Bytes)>& runs) {
  const std::int64_t count = (high - low) / step;  // low + i * step, for i from 1 to count, where it runs
  std::vector<std::pair<std::int64_t, bool>> known{{count, true}};
  const auto probe = [&](std::int64_t index) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.first == index; });
    if (found != known.end()) return found->second;
    known.emplace_back(index, runs(low + index * step));
    return known.back().second;
  };
  Threshold threshold{.exact = count <= tries, .below = {}};
  if (threshold.exact) {
    for (std::int64_t i = 1; i < count; ++i) known.emplace_back(i, runs(low + i * step));
  } else {
    std::int64_t fails = 0, holds = count;
    const auto halve = [&] {
      while (holds - fails > 1) {
        const std::int64_t middle = fails + (holds - fails) / 2;
        (probe(middle) ? holds : fails) = middle;
      }
    };
    halve();
    // It may fail again above: look right above, and evenly up to the top.
    const std::int64_t left = tries - static_cast<std::int64_t>(known.size());
    for (std::int64_t i = 1; i <= left; ++i) {
      const std::int64_t above = i % 2 == 1 ? holds + (i + 1) / 2 : holds + (count - holds) * i / (left + 1);
      if (above >= count || probe(above)) continue;
      fails = above;
      holds = count;
      halve();
    }
  }
  std::sort(known.begin(), known.end());
  auto last_failure = std::find_if(known.rbegin(), known.rend(), [](const auto& one) { return !one.second; });
  threshold.at = low + last_failure.base()->first * step;
  const auto first = std::find_if(known.begin(), known.end(), [](const auto& one) { return one.second; });
  if (low + first->first * step < threshold.at) threshold.below = low + first->first * step;
  return threshold;
}

}  // namespace mnemo::memory
