// What would lower the peaks: each measure is applied alone to every moment of
// the recording, and the highest moment that remains says what it is worth. What
// other segments would do is not estimated: the calls are made again.
#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <mnemo/memory/advised_blocks.h>
#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/earlier_steps.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/explanation.h>
#include <mnemo/memory/replay.h>
#include <mnemo/memory/saved_bytes.h>
#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

constexpr std::size_t kMostGroups = 8;
using Kind = AdvisedBlocks::Kind;

struct Moment {
  const CategoryBytes& categories;
  Phase phase;
  std::string_view group;           ///< the top module at work
  const SavedBytes::Totals& saved;  ///< by top module
  Bytes earlier_steps;              ///< saved activations of steps that are over
  const AdvisedBlocks& blocks;
  Bytes of(Category category) const { return categories[static_cast<std::size_t>(category)]; }
};

/// A measure, with the highest moment that it leaves.
struct Measure {
  std::string action;
  std::string reason;                          ///< a sentence without its end
  std::function<Bytes(const Moment&)> spares;  ///< what it takes away from a moment
  bool of_gradients = false;                   ///< that are not needed beyond one backward pass
  Bytes highest = 0;
  Phase phase = Phase::setup;
  std::string op = {}, module = {};
};

std::string_view top_module(std::string_view path) { return path.substr(0, path.find('.')); }

/// Top modules of several ops, those that hold most for backward at the peak
/// first.
std::vector<std::string> groups_at(const Account& peak) {
  std::map<std::string, Bytes, std::less<>> saved;
  std::map<std::string, std::set<LayerName>, std::less<>> ops;
  for (const auto& [holder, held] : peak.holders) {
    if (holder.module.empty() || holder.category != Category::saved_activation) continue;
    const std::string group(top_module(holder.module));
    saved[group] += held.bytes;
    ops[group].insert({holder.module, holder.op});
  }
  std::vector<std::string> groups;
  for (const auto& [group, bytes] : saved) {
    if (ops[group].size() > 1) groups.push_back(group);
  }
  std::sort(groups.begin(), groups.end(), [&](const std::string& a, const std::string& b) {
    return saved[a] != saved[b] ? saved[a] > saved[b] : a < b;
  });
  if (groups.size() > kMostGroups) groups.resize(kMostGroups);
  return groups;
}

/// Saved by a module until backward comes to it, where all of it is there
/// again.
Bytes spared_by_checkpoint(const Moment& moment, const std::string& group) {
  if (moment.phase == Phase::backward && moment.group == group) return 0;
  const auto found = moment.saved.find({group, ""});
  return found == moment.saved.end() ? 0 : found->second;
}

/// Every floating output is, as far as the notes say: under autocast it would be
/// unknown which values are half already.
bool in_full_precision(const LayerNotes& notes) {
  bool some = false;
  for (const LayerName& layer : notes.layers()) {
    const auto& output = notes.of(layer).output;
    if (!output) continue;
    if (output->dtype == "float16" || output->dtype == "bfloat16") return false;
    some |= output->dtype == "float32" || output->dtype == "float64";
  }
  return some;
}

std::vector<Measure> measures(const Account& peak, const LayerNotes& notes) {
  std::vector<Measure> list;
  const auto at_peak = [&](Category category) { return peak.categories[static_cast<std::size_t>(category)]; };
  const auto add = [&](std::string action, std::string reason, std::function<Bytes(const Moment&)> spares) {
    list.push_back({.action = std::move(action), .reason = std::move(reason), .spares = std::move(spares)});
  };
  Bytes workspace = 0;
  std::string of;
  for (const auto& [holder, held] : peak.holders) {
    if (holder.category != Category::workspace || notes.of({holder.module, holder.op}).plans.empty()) continue;
    workspace += held.bytes;
    of += (of.empty() ? "" : ", ") + where(holder.module, holder.op);
  }
  if (workspace > 0) {
    add("limit the workspaces of convolutions (--workspace 0, or a size)",
        fmt::format("the peak has {} of workspace, of {}", format_bytes(workspace), of),
        [](const Moment& moment) { return moment.blocks.of(Kind::convolution); });
  }
  add("let go of the graphs of earlier steps", "no step that is over holds anything for backward",
      [](const Moment& moment) { return moment.earlier_steps; });
  const std::vector<std::string> groups = groups_at(peak);
  for (const std::string& group : groups) {
    add("checkpoint " + printable(group),
        fmt::format("what {} saves is computed again when backward comes to "
                    "it; its own input stays",
                    printable(group)),
        [group](const Moment& moment) { return spared_by_checkpoint(moment, group); });
  }
  if (groups.size() > 1) {
    add("checkpoint every top module", "what each saves is computed again in backward; their inputs stay",
        [groups](const Moment& moment) {
          Bytes sum = 0;
          for (const std::string& group : groups) sum += spared_by_checkpoint(moment, group);
          return sum;
        });
  }
  if (const Bytes bytes = at_peak(Category::optimizer_state); bytes > 0) {
    const std::string has = fmt::format("the peak has {} of optimizer state", format_bytes(bytes));
    add("an optimizer without state (SGD without momentum)", has,
        [](const Moment& moment) { return moment.blocks.of(Kind::moment) + moment.blocks.of(Kind::code); });
    add("optimizer state in 8 bits", has + "; a quarter of what is in float32 would be left", [](const Moment& moment) {
      const Bytes moments = moment.blocks.of(Kind::moment);
      // Where more is in codes, it is done already: small parameters keep moments in float32.
      return moment.blocks.of(Kind::code) > moments ? 0 : moments / 4 * 3;
    });
  }
  if (const Bytes bytes = at_peak(Category::gradient); bytes > 0) {
    add("update each parameter during backward and free its gradient",
        fmt::format("the peak has {} of gradients", format_bytes(bytes)),
        [](const Moment& moment) { return moment.of(Category::gradient); });
    list.back().of_gradients = true;
    if (peak.phase == Phase::forward || peak.phase == Phase::data) {
      add("zero_grad before the forward pass",
          fmt::format("{} of gradients wait through the forward pass", format_bytes(bytes)), [](const Moment& moment) {
            return moment.phase == Phase::forward || moment.phase == Phase::data ? moment.of(Category::gradient) : 0;
          });
      list.back().of_gradients = true;
    }
  }
  if (in_full_precision(notes)) {
    add("half precision (--dtype bfloat16)", "values of two bytes where there are four or eight",
        [](const Moment& moment) {
          Bytes values = 0;
          for (std::size_t i = 0; i < moment.categories.size(); ++i) values += moment.categories[i];
          return (values - moment.of(Category::workspace) - moment.of(Category::other) - moment.blocks.of(Kind::code)) /
                 2;
        });
  }
  return list;
}

/// Whether some step goes forward again after its backward pass: then gradients of
/// several passes are added up.
class Accumulation {
 public:
  void follow(const Tag& tag) {
    if (tag.step != step_) backward_ = false;
    step_ = tag.step;
    backward_ |= tag.phase == Phase::backward;
    found_ |= step_ > 0 && backward_ && tag.phase == Phase::forward;
  }
  bool found() const { return found_; }

 private:
  std::int64_t step_ = 0;
  bool backward_ = false, found_ = false;
};

void measure(const Recording& recording, const LayerNotes& notes, std::vector<Measure>& list) {
  Timeline timeline(recording);
  SavedBytes saved(timeline, [](const Tag& tag) { return SavedBytes::Key{std::string(top_module(tag.module)), ""}; });
  EarlierSteps earlier(timeline);
  AdvisedBlocks blocks(timeline, notes);
  Accumulation accumulation;
  const auto look = [&](const Tag& tag) {
    const Moment moment{timeline.categories(), tag.phase,       top_module(tag.module),
                        saved.totals(),        earlier.bytes(), blocks};
    accumulation.follow(tag);
    for (Measure& one : list) {
      const Bytes left = timeline.allocated() - one.spares(moment);
      if (left <= one.highest) continue;
      one.highest = left;
      one.phase = tag.phase;
      one.op = tag.op;
      one.module = tag.module;
    }
  };
  look(timeline.event().tag);
  while (timeline.next()) {
    saved.follow(timeline.event());
    earlier.follow(timeline.event());
    blocks.follow(timeline.event());
    if (timeline.event().kind == EventKind::alloc) look(timeline.event().tag);
  }
  if (accumulation.found()) std::erase_if(list, [](const Measure& one) { return one.of_gradients; });
}

/// What the same calls reserve where segments can grow; nothing where that is no
/// less, and where the calls cannot be made again.
std::optional<Advice> advise_growing(const Recording& recording) {
  try {
    const CallTrace trace = calls_of(recording);
    AllocatorConfig config = trace.config();
    if (config.expandable_segments) return std::nullopt;
    const auto replayed = [&] {
      return replay(trace, {.config = config, .capacity = trace.capacity(), .context = trace.context()});
    };
    // What was cached before a recording from the middle is not made again.
    const Bytes before = recording.dropped() > 0 ? replayed().peak_reserved : recording.peak_reserved().bytes;
    config.expandable_segments = true;
    const ReplayResult result = replayed();
    const Bytes after = result.peak_reserved;
    if (result.statistics.num_ooms > 0 || after >= before) return std::nullopt;
    return Advice{
        fmt::format("let segments grow (--allocator {})", config.text()), "peak_reserved", before - after,
        fmt::format("the same calls then reserve {} at most, not {}", format_bytes(after), format_bytes(before)), true};
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

std::vector<Advice> advise(const Recording& recording, const Account& peak, const LayerNotes& notes) {
  std::vector<Advice> advice;
  std::vector<Measure> list = measures(peak, notes);
  measure(recording, notes, list);
  for (const Measure& one : list) {
    const Bytes bytes = peak.allocated - one.highest;
    if (bytes <= 0) continue;
    advice.push_back({one.action, "peak_allocated", bytes,
                      fmt::format("{}; the highest moment would be {} in {}", one.reason, format_bytes(one.highest),
                                  place(one.phase, one.module, one.op))});
  }
  if (std::optional<Advice> growing = advise_growing(recording)) advice.push_back(std::move(*growing));
  std::stable_sort(advice.begin(), advice.end(), [](const Advice& a, const Advice& b) { return a.bytes > b.bytes; });
  return advice;
}

}  // namespace mnemo::memory
