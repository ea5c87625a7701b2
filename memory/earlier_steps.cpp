#include <mnemo/memory/earlier_steps.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

/// Less than this share of the peak is a loss or a mask that a variable of the loop still has.
constexpr Bytes kWorthAWord = 20;

}  // namespace

EarlierSteps::EarlierSteps(const Timeline& timeline) {
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (!block.waiting) add(position, block.size, block.tag);
  }
}

void EarlierSteps::add(std::uint64_t position, Bytes size, const Tag& tag) {
  if (tag.category != Category::saved_activation) return;
  parts_[position] = {tag.step, size};
  saved_[tag.step] += size;
  if (tag.step < step_) bytes_ += size;
}

void EarlierSteps::remove(std::uint64_t position) {
  const auto part = parts_.find(position);
  if (part == parts_.end()) return;
  const auto [step, bytes] = part->second;
  parts_.erase(part);
  const auto sum = saved_.find(step);
  if ((sum->second -= bytes) == 0) saved_.erase(sum);
  if (step < step_) bytes_ -= bytes;
}

void EarlierSteps::enter(std::int64_t step) {
  step_ = step;
  bytes_ = 0;
  for (const auto& [of, bytes] : by_step()) bytes_ += bytes;
}

std::map<std::int64_t, Bytes> EarlierSteps::by_step() const { return {saved_.begin(), saved_.lower_bound(step_)}; }

void EarlierSteps::follow(const Event& event) {
  switch (event.kind) {
    case EventKind::alloc:
      // Threads that know of no step, such as those that bring data, are in step 0 throughout.
      if (event.tag.step > step_) enter(event.tag.step);
      add(event.position, event.size, event.tag);
      break;
    case EventKind::retag:
      remove(event.position);
      add(event.position, event.size, event.tag);
      break;
    case EventKind::free_requested:
      remove(event.position);
      break;
    default:
      break;
  }
}

HeldSteps held_steps(const Recording& recording) {
  HeldSteps held;
  std::int64_t at = -1;
  Timeline timeline(recording);
  EarlierSteps earlier(timeline);
  while (timeline.next()) {
    earlier.follow(timeline.event());
    if (earlier.bytes() <= held.bytes) continue;
    const std::map<std::int64_t, Bytes> steps = earlier.by_step();
    held = {.bytes = earlier.bytes(),
            .step = earlier.step(),
            .first = steps.begin()->first,
            .last = steps.rbegin()->first,
            .count = static_cast<std::int64_t>(steps.size())};
    at = timeline.index();
  }
  if (held.bytes <= recording.peak().bytes / kWorthAWord) return {};
  timeline.seek(at);
  std::map<std::pair<std::string, std::string>, Bytes> holders;
  for (const auto& [position, block] : timeline.state().blocks()) {
    const Tag& tag = block.tag;
    if (tag.category == Category::saved_activation && tag.step < held.step && !block.waiting)
      holders[{tag.module, tag.op}] += block.size;
  }
  const auto most = std::max_element(holders.begin(), holders.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != holders.end()) std::tie(held.module, held.op) = most->first;
  return held;
}

std::string HeldSteps::text() const {
  const std::string what = fmt::format(
      "{} of activations that {} saved for backward, most of them by {}", format_bytes(bytes),
      count > 1 ? fmt::format("steps {} to {}", first, last) : fmt::format("step {}", first), where(module, op));
  if (count == 1) {
    return fmt::format(
        "In step {}, {}, are still held: a variable keeps that step's graph. Let losses and outputs go out of scope "
        "before the next step begins, or compute without recording (NoGradScope) what is not trained",
        step, what);
  }
  return fmt::format(
      "The graph grows over steps: in step {}, {}, are still held. A sum of losses such as total = total + loss keeps "
      "every step's graph: add up numbers, total += loss.item(), or loss.detach(), and compute without recording "
      "(NoGradScope) what is not trained",
      step, what);
}

}  // namespace mnemo::memory
