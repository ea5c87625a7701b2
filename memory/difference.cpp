#include <mnemo/memory/difference.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include <mnemo/memory/layer_notes.h>
#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

/// One of the two recordings, at its peak and at the moment that is compared.
struct Side {
  explicit Side(const Recording& of)
      : recording(of), peak(account_at(of, of.peak().event)), compared(peak), notes(of, of.peak().event) {}

  const Recording& recording;
  Account peak;
  Account compared;
  LayerNotes notes;
};

bool same_place(const Account& a, const Account& b) {
  return a.phase == b.phase && a.op == b.op && a.module == b.module;
}

/// The event at which most was allocated in the op in which `peak` lies, of the
/// same step if that is there; -1: the op never allocates.
std::int64_t counterpart(const Recording& recording, const Account& peak) {
  struct Highest {
    std::int64_t event = -1;
    Bytes bytes = -1;
  } in_step, anywhere;
  for (Timeline timeline(recording); timeline.next();) {
    const Event& event = timeline.event();
    const bool there = event.kind == EventKind::alloc && event.tag.phase == peak.phase && event.tag.op == peak.op &&
                       event.tag.module == peak.module;
    if (!there) continue;
    if (timeline.allocated() > anywhere.bytes) anywhere = {timeline.index(), timeline.allocated()};
    if (event.tag.step == peak.step && timeline.allocated() > in_step.bytes)
      in_step = {timeline.index(), timeline.allocated()};
  }
  return in_step.event >= 0 ? in_step.event : anywhere.event;
}

/// Chooses the moments that are compared: those of the op in which the higher
/// peak lies. There the question "why more" has its answer.
void align(Side& a, Side& b) {
  if (a.peak.event < 0 || b.peak.event < 0 || same_place(a.peak, b.peak)) return;
  const bool rises = b.peak.allocated >= a.peak.allocated;
  Side& other = rises ? a : b;
  const std::int64_t event = counterpart(other.recording, rises ? b.peak : a.peak);
  if (event >= 0) other.compared = account_at(other.recording, event);
}

void add(Change& change, std::string cause, std::string where, Bytes bytes, std::string evidence) {
  if (bytes != 0) change.causes.push_back({std::move(cause), std::move(where), bytes, std::move(evidence)});
}

void sort(Change& change) {
  std::stable_sort(change.causes.begin(), change.causes.end(),
                   [](const Cause& a, const Cause& b) { return std::abs(a.bytes) > std::abs(b.bytes); });
}

std::string blocks_text(const Held& held) {
  if (held.count == 0) return "none";
  return fmt::format("{} bytes in {} {}", grouped(held.requested), grouped(held.count),
                     held.count == 1 ? "block" : "blocks");
}

/// The plan whose workspace a layer holds at the compared moment; null where no note says so.
const PlanNote* plan_at(const Side& side, const LayerName& layer, const Held& held) {
  if (held.requested == 0) return nullptr;
  for (const PlanNote& plan : side.notes.of(layer).plans) {
    const bool now = (plan.pass == "forward") == (side.compared.phase == Phase::forward);
    if (now && plan.workspace == held.requested) return &plan;
  }
  return side.notes.plan_with(layer, held.requested);
}

/// The workspaces of one layer, with the pass of the convolution and the algorithms that want them.
Cause workspace_cause(const Side& a, const Side& b, const LayerName& layer, const Held& before, const Held& after) {
  const PlanNote* plan_a = plan_at(a, layer, before);
  const PlanNote* plan_b = plan_at(b, layer, after);
  // Where there is no workspace at all, the plan of the same pass says why.
  if (plan_a == nullptr && plan_b != nullptr && before.count == 0) plan_a = a.notes.plan_of(layer, plan_b->pass);
  if (plan_b == nullptr && plan_a != nullptr && after.count == 0) plan_b = b.notes.plan_of(layer, plan_a->pass);
  const bool one_pass = plan_a == nullptr || plan_b == nullptr || plan_a->pass == plan_b->pass;
  const auto side = [&](const PlanNote* plan, const Held& held) {
    std::string text = grouped(held.requested) + " bytes";
    if (plan == nullptr) return text;
    return text + (one_pass ? "" : " of " + printable(plan->pass)) + " with " + printable(plan->algorithm);
  };
  Cause cause{.cause = words(Category::workspace),
              .where = where(layer.first, layer.second),
              .bytes = after.requested - before.requested,
              .evidence = side(plan_a, before) + " -> " + side(plan_b, after)};
  const PlanNote* known = plan_b != nullptr ? plan_b : plan_a;
  if (known != nullptr && one_pass) cause.where += ' ' + printable(known->pass);
  if (plan_a == nullptr || plan_b == nullptr) return cause;
  if (!one_pass)
    cause.algorithms = printable(plan_a->pass) + ' ' + printable(plan_a->algorithm) + " -> " + printable(plan_b->pass) +
                       ' ' + printable(plan_b->algorithm);
  else if (plan_a->algorithm != plan_b->algorithm)
    cause.algorithms = printable(plan_a->algorithm) + " -> " + printable(plan_b->algorithm);
  return cause;
}

/// What each holder asked for, at the two moments.
void compare_holders(const Side& a, const Side& b, Change& change) {
  std::map<Holder, std::pair<Held, Held>> pairs;
  for (const auto& [holder, held] : a.compared.holders) pairs[holder].first = held;
  for (const auto& [holder, held] : b.compared.holders) pairs[holder].second = held;
  for (const auto& [holder, pair] : pairs) {
    const auto& [before, after] = pair;
    if (after.requested == before.requested) continue;
    if (holder.category == Category::workspace) {
      change.causes.push_back(workspace_cause(a, b, {holder.module, holder.op}, before, after));
      continue;
    }
    add(change, words(holder.category), where(holder.module, holder.op), after.requested - before.requested,
        blocks_text(before) + " -> " + blocks_text(after));
  }
}

std::string peak_text(const char* which, const Side& side) {
  const Account& peak = side.peak;
  std::string text = fmt::format("{} peaks at {} bytes in {}", which, grouped(peak.allocated),
                                 place(peak.phase, peak.module, peak.op));
  if (side.compared.event != peak.event) {
    text += fmt::format(" and has {} bytes in {}", grouped(side.compared.allocated),
                        place(side.compared.phase, side.compared.module, side.compared.op));
  }
  return text;
}

Change allocated_change(const Side& a, const Side& b) {
  Change change{a.peak.allocated, b.peak.allocated, {}};
  compare_holders(a, b, change);
  const Bytes rounding_a = a.compared.rounding();
  const Bytes rounding_b = b.compared.rounding();
  add(change, "rounding", "", rounding_b - rounding_a,
      fmt::format("blocks are larger than what was asked for by {} -> {} bytes in all", grouped(rounding_a),
                  grouped(rounding_b)));
  const Bytes moved = (b.peak.allocated - b.compared.allocated) - (a.peak.allocated - a.compared.allocated);
  const bool other_phase = a.peak.phase != b.peak.phase;
  add(change, other_phase ? "peak moved to another phase" : "peak moved to another op",
      place(b.peak.phase, b.peak.module, b.peak.op), moved, peak_text("A", a) + "; " + peak_text("B", b));
  return change;
}

/// What is reserved beyond the peak of what is allocated: the cache at that
/// peak, and what was obtained for another moment.
void compare_cache(const Side& a, const Side& b, Change& change) {
  const auto part = [&](const char* cause, const char* at, auto of, const char* evidence) {
    const Bytes before = of(a);
    const Bytes after = of(b);
    add(change, cause, at, after - before,
        fmt::format("{}: {} -> {} bytes", evidence, grouped(before), grouped(after)));
  };
  part(
      "cached blocks not reusable", "gaps between blocks", [](const Side& side) { return side.peak.gaps(); },
      "free between blocks in use at the peak, in pieces that nothing fitted "
      "into");
  part(
      "cached blocks not reusable", "free segments", [](const Side& side) { return side.peak.cached_segments; },
      "in segments without a block in use at the peak");
  part(
      "blocks waiting for other streams", "", [](const Side& side) { return side.peak.waiting; },
      "freed, not yet to be reused at the peak");
  part(
      "segment growth", "", [](const Side& side) { return side.recording.peak_reserved().bytes - side.peak.reserved; },
      "reserved for another moment than the peak, beyond what is reserved at "
      "the peak");
}

std::string context_text(const RecordingHeader& header) {
  return header.context ? grouped(*header.context) + " bytes" : "unknown, counted as 0";
}

}  // namespace

Difference difference(const Recording& recording_a, const Recording& recording_b) {
  Side a(recording_a);
  Side b(recording_b);
  align(a, b);
  Difference result;
  result.peak_allocated = allocated_change(a, b);

  result.peak_reserved = result.peak_allocated;
  result.peak_reserved.a = recording_a.peak_reserved().bytes;
  result.peak_reserved.b = recording_b.peak_reserved().bytes;
  compare_cache(a, b, result.peak_reserved);

  result.device_use = result.peak_reserved;
  const Bytes context_a = recording_a.header().context.value_or(0);
  const Bytes context_b = recording_b.header().context.value_or(0);
  result.device_use.a += context_a;
  result.device_use.b += context_b;
  add(result.device_use, "context", "", context_b - context_a,
      fmt::format("{} -> {}: {} -> {}", printable(recording_a.header().device), printable(recording_b.header().device),
                  context_text(recording_a.header()), context_text(recording_b.header())));

  sort(result.peak_allocated);
  sort(result.peak_reserved);
  sort(result.device_use);
  result.answer = answer(result);
  return result;
}

}  // namespace mnemo::memory
