#include <mnemo/memory/explanation.h>

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/memory/saved_bytes.h>
#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

constexpr std::size_t kLargest = 10;

/// The most that each layer had at once in the step of the peak.
struct LayerMost {
  std::map<LayerName, Bytes> saved;
  struct Workspace {
    Bytes bytes = 0, requested = 0;
  };
  std::map<LayerName, Workspace> workspace;
};

LayerMost layer_most(const Recording& recording, std::int64_t step) {
  LayerMost most;
  Timeline timeline(recording);
  SavedBytes saved(timeline, [](const Tag& tag) { return LayerName{tag.module, tag.op}; });
  Whereabouts here;
  for (const auto& [layer, bytes] : saved.totals()) most.saved[layer] = bytes;
  while (timeline.next()) {
    const Event& event = timeline.event();
    here.follow(event);
    const auto* grown = saved.follow(event);
    if (here.tag().step != step) continue;
    if (grown != nullptr) {
      Bytes& bytes = most.saved[grown->first];
      bytes = std::max(bytes, grown->second);
    }
    if (event.kind == EventKind::alloc && event.tag.category == Category::workspace) {
      LayerMost::Workspace& workspace = most.workspace[{event.tag.module, event.tag.op}];
      if (event.size > workspace.bytes) workspace = {event.size, event.requested};
    }
  }
  return most;
}

/// "weight_gradient eng34_k0=18", or all passes where no workspace says which.
std::string algorithm_of(const LayerNotes& notes, const LayerName& layer, const LayerMost::Workspace& workspace) {
  if (workspace.requested > 0) {
    const PlanNote* plan = notes.plan_with(layer, workspace.requested);
    if (plan != nullptr) return plan->pass + ' ' + plan->algorithm;
  }
  std::string text;
  for (const PlanNote& plan : notes.of(layer).plans)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", plan.pass, plan.algorithm);
  return text;
}

class LayerRows {
 public:
  LayerRows(const LayerNotes& notes, const LayerMost& most) : notes_(notes), most_(most) {
    for (const LayerName& layer : notes.layers()) row_of(layer);
    for (const auto& [layer, bytes] : most.saved) row_of(layer);
    for (const auto& [layer, workspace] : most.workspace) row_of(layer);
  }

  void add(const Holder& holder, Bytes bytes) {
    const bool of_module = holder.category == Category::parameter || holder.category == Category::gradient ||
                           holder.category == Category::optimizer_state;
    const auto first = of_module ? first_.find(holder.module) : first_.end();
    LayerRow& row = first == first_.end() ? row_of({holder.module, holder.op}) : rows_[first->second];
    row.at_peak += bytes;
    if (holder.category == Category::parameter) row.parameters += bytes;
  }

  std::vector<LayerRow> take() && { return std::move(rows_); }

 private:
  LayerRow& row_of(const LayerName& layer) {
    const auto [place, fresh] = index_.try_emplace(layer, rows_.size());
    if (!fresh) return rows_[place->second];
    first_.try_emplace(layer.first, rows_.size());
    LayerRow& row = rows_.emplace_back();
    row.module = layer.first;
    row.op = layer.second;
    const LayerNotes::Notes& notes = notes_.of(layer);
    if (notes.output) row.output = *notes.output;
    row.plans = notes.plans;
    if (const auto saved = most_.saved.find(layer); saved != most_.saved.end()) row.saved = saved->second;
    LayerMost::Workspace workspace;
    if (const auto found = most_.workspace.find(layer); found != most_.workspace.end()) workspace = found->second;
    row.workspace = workspace.bytes;
    row.algorithm = algorithm_of(notes_, layer, workspace);
    return row;
  }

  const LayerNotes& notes_;
  const LayerMost& most_;
  std::vector<LayerRow> rows_;
  std::map<LayerName, std::size_t> index_;
  std::map<std::string, std::size_t> first_;  // by module
};

std::vector<LongBlock> largest_at(const Recording& recording, std::int64_t peak) {
  Timeline timeline(recording);
  timeline.seek(peak);
  std::vector<std::pair<std::uint64_t, LiveBlock>> alive;
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (!block.waiting) alive.emplace_back(position, block);
  }
  const std::size_t count = std::min(alive.size(), kLargest);
  std::partial_sort(alive.begin(), alive.begin() + static_cast<std::ptrdiff_t>(count), alive.end(),
                    [](const auto& a, const auto& b) {
                      return a.second.size != b.second.size ? a.second.size > b.second.size : a.first < b.first;
                    });
  alive.resize(count);

  std::vector<LongBlock> largest;
  std::unordered_map<std::uint64_t, std::size_t> open;
  for (const auto& [position, block] : alive) {
    open[position] = largest.size();
    LongBlock& entry = largest.emplace_back();
    entry.block = block;
    entry.op = block.tag.op;
    entry.module = block.tag.module;
    entry.made = block.tag.phase;
  }
  Whereabouts here;
  timeline.seek(-1);
  while (timeline.next()) {
    const Event& event = timeline.event();
    here.follow(event);
    // A retag by the op that saves a block puts its own phase into the tag: how
    // it began is in the first event.
    for (LongBlock& entry : largest) {
      if (entry.block.since == timeline.index()) entry.made = event.tag.phase;
    }
    if (timeline.index() <= peak || event.kind != EventKind::free_requested) continue;
    const auto found = open.find(event.position);
    if (found == open.end()) continue;
    LongBlock& entry = largest[found->second];
    entry.until = timeline.index();
    entry.freed = here.tag().phase;
    entry.freed_step = here.tag().step;
    open.erase(found);
  }
  for (const auto& [position, index] : open) {
    largest[index].freed = here.tag().phase;
    largest[index].freed_step = here.tag().step;
  }
  // The texts in tags live only as long as the recording.
  for (LongBlock& entry : largest) entry.block.tag.op = entry.block.tag.module = "";
  return largest;
}

}  // namespace

Explanation explain(const Recording& recording) {
  Explanation e;
  e.header = recording.header();
  e.whole = recording.dropped() == 0 && !recording.truncated();
  e.peak = account_at(recording, recording.peak().event);
  e.peak_reserved = account_at(recording, recording.peak_reserved().event);
  e.context_known = e.header.context.has_value();
  e.context = e.header.context.value_or(0);

  const LayerNotes notes(recording, e.peak.event);
  const LayerMost most = layer_most(recording, e.peak.step);
  LayerRows rows(notes, most);
  for (const auto& [holder, held] : e.peak.holders) rows.add(holder, held.bytes);
  e.layers = std::move(rows).take();
  e.largest = largest_at(recording, e.peak.event);
  e.advice = advise(recording, e.peak, notes);
  e.held_steps = held_steps(recording);
  return e;
}

std::string paragraph(const Explanation& e) {
  const char* lacks = e.whole ? "" : " The recording is not whole: it lacks its oldest events or its end.";
  if (e.peak.allocated == 0) return std::string("Nothing was allocated.") + lacks;
  std::vector<std::pair<Bytes, Category>> parts;
  for (std::size_t i = 0; i < e.peak.categories.size(); ++i) {
    if (e.peak.categories[i] > 0) parts.emplace_back(e.peak.categories[i], static_cast<Category>(i));
  }
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string held;
  for (const auto& [bytes, category] : parts) {
    const double share = 100.0 * static_cast<double>(bytes) / static_cast<double>(e.peak.allocated);
    if (!held.empty() && share < 1) break;
    held += fmt::format("{}{} {} ({:.0f} %)", held.empty() ? "" : ", ", words(category), format_bytes(bytes), share);
  }
  std::string text = fmt::format("Allocated memory peaks at {}", format_bytes(e.peak.allocated));
  if (e.peak.event >= 0) {
    text += fmt::format(" in step {}, {}, event {}", e.peak.step, place(e.peak.phase, e.peak.module, e.peak.op),
                        e.peak.event);
  }
  text += fmt::format(
      ": {}. Of it, {} are rounding: blocks are larger than "
      "what was asked for. At most {} are reserved from the "
      "device",
      held, format_bytes(e.peak.rounding()), format_bytes(e.peak_reserved.reserved));
  if (e.context_known && e.context == 0) {
    text += '.';  // a CPU, which has neither, and no driver to ask
  } else if (e.context_known) {
    text += fmt::format(
        "; with {} of context and libraries a tool that asks "
        "the driver, such as nvidia-smi, shows {}.",
        format_bytes(e.context), format_bytes(e.device_use()));
  } else {
    text += fmt::format("; what context and libraries take is unknown and counted as 0.");
  }
  if (e.held_steps.bytes > 0) text += ' ' + e.held_steps.text() + '.';
  return text + lacks;
}

}  // namespace mnemo::memory
