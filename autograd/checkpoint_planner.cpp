#include <mnemo/autograd/checkpoint_planner.h>

#include <algorithm>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo {

using memory::Bytes;

CheckpointPlanner::CheckpointPlanner(std::vector<StageCosts> costs, int steps, Counts counts)
    : costs_(std::move(costs)), counts_(counts) {
  const std::size_t n = costs_.size();
  if (n == 0) fail<Error>("checkpoint_planner", "a chain without stages has no plan");
  std::vector<Held> stack{{0, 0}};  // the input, which is there in any case
  stacks_.push_back(stack);
  for (std::size_t stage = 0; stage < n; ++stage) {
    if (costs_[stage].takes > stack.size()) {
      fail<Error>("checkpoint_planner", fmt::format("stage {} takes {} tensors where there are {}", stage,
                                                    costs_[stage].takes, stack.size()));
    }
    const std::vector<Held> taken(stack.end() - static_cast<std::ptrdiff_t>(costs_[stage].takes), stack.end());
    stack.resize(stack.size() - taken.size());
    for (const StageOutput& output : costs_[stage].outputs)
      stack.push_back(output.taken ? taken.at(*output.taken) : Held{stage, output.bytes});
    stacks_.push_back(stack);
  }
  const Bytes plain = peak_of(no_checkpoints(n).parts, n - 1);
  step_ = std::max<Bytes>(1, (plain + steps - 1) / steps);
  // Rounding up may want more than there is, once for each stage and once for the need.
  steps_ = plain / step_ + static_cast<std::int64_t>(n) + 1;
  cells_.resize(n * n);
  for (std::size_t length = 0; length < n; ++length) {
    for (std::size_t first = 0; first + length < n; ++first) fill(first, first + length);
  }
}

std::int64_t CheckpointPlanner::steps_of(Bytes need) const { return (need + step_ / 2) / step_; }

/// What lies on the stack before `boundary` and was made by stage `since` or later.
Bytes CheckpointPlanner::fresh(std::size_t since, std::size_t boundary) const {
  Bytes sum = 0;
  for (const Held& held : stacks_[boundary]) sum += held.producer >= since ? held.bytes : 0;
  return sum;
}

/// Gradients of all that lies on the stack behind the stage, when backward has come to it.
Bytes CheckpointPlanner::waiting_gradients(std::size_t stage) const {
  return counts_ == Counts::everything ? fresh(0, stage + 1) : 0;
}

/// Of the parameters of stages first to last - 1.
Bytes CheckpointPlanner::gradients(std::size_t first, std::size_t last) const {
  if (counts_ == Counts::activations) return 0;
  Bytes sum = 0;
  for (std::size_t i = first; i < last; ++i) sum += costs_[i].gradients;
  return sum;
}

std::int64_t CheckpointPlanner::forward_work(std::size_t first, std::size_t last) const {
  std::int64_t sum = 0;
  for (std::size_t i = first; i < last; ++i) sum += costs_[i].forward_work;
  return sum;
}

/// The most while stages first to last - 1 of a subchain that ends in `end` run and keep nothing.
Bytes CheckpointPlanner::skip_need(std::size_t first, std::size_t last, std::size_t end) const {
  Bytes most = 0;
  for (std::size_t i = first; i < last; ++i) most = std::max(most, fresh(first, i) + costs_[i].forward);
  return most + waiting_gradients(end);
}

/// The most while the stage, the first of a subchain that ends in `last`, runs and is recorded, and in its backward.
Bytes CheckpointPlanner::record_need(std::size_t stage, std::size_t last) const {
  const StageCosts& costs = costs_[stage];
  if (counts_ == Counts::activations) return costs.recording;
  Bytes own = 0;
  for (const StageOutput& output : costs.outputs) own += output.bytes;
  return std::max(costs.recording + waiting_gradients(last),
                  costs.backward + waiting_gradients(stage) - own + gradients(stage + 1, last + 1));
}

const CheckpointPlanner::Cell& CheckpointPlanner::cell(std::size_t first, std::size_t last, std::int64_t steps) const {
  static constexpr Cell kNone;
  return steps < 0 ? kNone : cells_[first * costs_.size() + last][static_cast<std::size_t>(steps)];
}

void CheckpointPlanner::fill(std::size_t first, std::size_t last) {
  std::vector<Cell>& cells = cells_[first * costs_.size() + last];
  cells.resize(static_cast<std::size_t>(steps_) + 1);
  const auto offer = [&](std::int64_t from, std::int32_t split, const auto& work_of) {
    for (std::int64_t steps = from; steps <= steps_; ++steps) {
      Cell& best = cells[static_cast<std::size_t>(steps)];
      const std::int64_t work = work_of(steps);
      if (work < best.work) best = {work, split};
    }
  };
  const StageCosts& costs = costs_[first];
  const std::int64_t record = steps_of(record_need(first, last));
  if (first == last) return offer(record, -1, [&](std::int64_t) { return costs.recompute_work; });
  const std::int64_t kept = steps_of(costs.saved + fresh(first, first + 1));
  offer(record, -1, [&](std::int64_t steps) { return costs.forward_work + cell(first + 1, last, steps - kept).work; });
  for (std::size_t split = first + 1; split <= last; ++split) {
    const std::int64_t boundary = steps_of(fresh(first, split)), piled = steps_of(gradients(split, last + 1));
    offer(steps_of(skip_need(first, split, last)), static_cast<std::int32_t>(split), [&](std::int64_t steps) {
      return forward_work(first, split) + cell(split, last, steps - boundary).work +
             cell(first, split - 1, steps - piled).work;
    });
  }
}

std::vector<PlanPart> CheckpointPlanner::parts(std::size_t first, std::size_t last, std::int64_t steps) const {
  std::vector<PlanPart> list;
  while (true) {
    const std::int32_t split = cell(first, last, steps).split;
    if (split < 0) {
      list.push_back({first, first + 1});
      if (first == last) return list;
      steps -= steps_of(costs_[first].saved + fresh(first, first + 1));
      ++first;
    } else {
      const auto end = static_cast<std::size_t>(split);
      list.push_back({first, end, true, parts(first, end - 1, steps - steps_of(gradients(end, last + 1)))});
      steps -= steps_of(fresh(first, end));
      first = end;
    }
  }
}

/// Of parts that end in stage `last`; the same as the recurrence, without rounding.
Bytes CheckpointPlanner::peak_of(const std::vector<PlanPart>& parts, std::size_t last) const {
  Bytes most = 0, held = 0;
  for (const PlanPart& part : parts) {
    Bytes need = 0;
    if (part.checkpointed) {
      need = std::max(skip_need(part.first, part.last, last),
                      gradients(part.last, last + 1) + peak_of(part.inside, part.last - 1));
    } else {
      need = record_need(part.first, last);
    }
    most = std::max(most, held + need);
    held += fresh(part.first, part.last) + (part.checkpointed ? 0 : costs_[part.first].saved);
  }
  return most;
}

/// Of the recomputations in these parts, and of their own one where they are run `again`.
std::int64_t CheckpointPlanner::work_of(const std::vector<PlanPart>& parts, bool again) const {
  std::int64_t work = 0;
  for (const PlanPart& part : parts) {
    if (part.checkpointed) work += work_of(part.inside, true);
    if (!again) continue;
    if (&part != &parts.back())
      work += forward_work(part.first, part.last);
    else if (!part.checkpointed)
      work += costs_[part.first].recompute_work;
  }
  return work;
}

PlannedCheckpoints CheckpointPlanner::expect(CheckpointPlan plan) const {
  const Bytes peak = peak_of(plan.parts, costs_.size() - 1);
  const std::int64_t work = work_of(plan.parts, false);
  return {std::move(plan), peak, work};
}

std::optional<PlannedCheckpoints> CheckpointPlanner::within(Bytes budget) const {
  const std::size_t last = costs_.size() - 1;
  std::int64_t tried = kNever;
  for (std::int64_t steps = std::min(budget / step_, steps_); steps >= 0; --steps) {
    const std::int64_t work = cell(0, last, steps).work;
    if (work >= kNever) break;
    if (work == tried) continue;  // the same plan, unless a better one was rounded away
    tried = work;
    PlannedCheckpoints planned = expect({parts(0, last, steps)});
    if (planned.peak <= budget) return planned;
  }
  return std::nullopt;
}

std::vector<PlannedCheckpoints> CheckpointPlanner::frontier() const {
  std::vector<PlannedCheckpoints> all, list;
  std::int64_t before = kNever;
  for (std::int64_t steps = 0; steps <= steps_; ++steps) {
    const std::int64_t work = cell(0, costs_.size() - 1, steps).work;
    if (work < before) all.push_back(expect({parts(0, costs_.size() - 1, steps)}));
    before = work;
  }
  // Rounding may have put some of them into the wrong order.
  std::stable_sort(all.begin(), all.end(), [](const PlannedCheckpoints& a, const PlannedCheckpoints& b) {
    return a.peak != b.peak ? a.peak < b.peak : a.extra_work < b.extra_work;
  });
  for (PlannedCheckpoints& planned : all) {
    if (list.empty() || planned.extra_work < list.back().extra_work) list.push_back(std::move(planned));
  }
  return list;
}

std::int64_t CheckpointPlanner::work() const {
  std::int64_t work = forward_work(0, costs_.size());
  for (const StageCosts& costs : costs_) work += costs.backward_work;
  return work;
}

}  // namespace mnemo
