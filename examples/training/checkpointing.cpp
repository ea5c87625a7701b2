#include "training/checkpointing.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "training/parity.h"

namespace mnemo::training {

namespace {

using memory::Bytes;
using memory::Category;

/// The highest sum of activations on a device while it lives.
class ActivationPeak {
 public:
  explicit ActivationPeak(const Device& device)
      : subscription_(device.allocator().subscribe([this](const memory::Event& event) { follow(event); })) {}
  Bytes bytes() const { return peak_; }

 private:
  static bool counts(Category category) {
    return category == Category::live_activation || category == Category::saved_activation;
  }
  void follow(const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc && counts(event.tag.category)) now_ += event.size;
    if (event.kind == memory::EventKind::free_requested && counts(event.tag.category)) now_ -= event.size;
    if (event.kind == memory::EventKind::retag)
      now_ += event.size * (counts(event.tag.category) - counts(event.before));
    peak_ = std::max(peak_, now_);
  }

  Bytes now_ = 0, peak_ = 0;
  std::shared_ptr<void> subscription_;
};

/// How many plans are tried.
constexpr std::size_t kMostPlans = 100, kMostSegments = 16;

/// Leaves `most` of the plans, evenly, with the first and the last.
void thin(std::vector<CheckpointPlan>& plans, std::size_t most) {
  if (plans.size() <= most) return;
  std::vector<CheckpointPlan> left;
  for (std::size_t i = 0; i < most; ++i) left.push_back(std::move(plans[i * (plans.size() - 1) / (most - 1)]));
  plans = std::move(left);
}

/// The random numbers of the program as they were, at the end of the scope.
class RandomGuard {
 public:
  RandomGuard() = default;
  ~RandomGuard() { set_random_state(before_); }
  RandomGuard(const RandomGuard&) = delete;
  RandomGuard& operator=(const RandomGuard&) = delete;

 private:
  RandomState before_ = random_state();
};

}  // namespace

CheckpointRequest read_checkpoint_request(std::string_view text) {
  using Kind = CheckpointRequest::Kind;
  constexpr std::string_view kPlan = "plan:";
  if (text == "none") return {};
  if (text == "auto") return {.kind = Kind::automatic};
  if (text.starts_with(kPlan)) return {.kind = Kind::budget, .budget = memory::parse_bytes(text.substr(kPlan.size()))};
  if (text.find_first_of("( ") != std::string_view::npos)
    return {.kind = Kind::given, .plan = parse_checkpoint_plan(text)};
  std::size_t segments = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), segments);
  if (error != std::errc{} || end != text.data() + text.size() || segments == 0) {
    throw ConfigError(
        fmt::format("checkpoints are none, a number of segments, auto, plan:SIZE such as plan:4GiB, or a plan such "
                    "as \"0 (1 2) 3\"; "
                    "\"{}\" is none of these",
                    text));
  }
  return {.kind = Kind::segments, .segments = segments};
}

double CheckpointTrial::extra(const CheckpointTrial& plain) const {
  return static_cast<double>(operations - plain.operations) / static_cast<double>(plain.operations);
}

Device CheckpointStudy::fresh_device() const {
  return Device::open(required_twin(run_.device), run_.device.allocator().config());
}

CheckpointStudy::CheckpointStudy(RunPlan run) : run_(std::move(run)) {
  // A virtual device has nothing to time.
  if (run_.policy.choice == ConvPolicy::Choice::fastest) run_.policy.choice = ConvPolicy::Choice::heuristic;
  const RandomGuard random;
  const DeviceScope scope(fresh_device());
  const ConvPolicyScope policy(run_.policy);
  {
    Trainer trainer(run_.spec, Rule::nothing, run_.training.dtype);
    const AutocastScope half(autocast_of(run_.training));
    const WorkspaceLimitsScope limited(run_.training.workspace);
    const models::Batch batch = models::random_batch(run_.spec, run_.batch, run_.size, run_.training.dtype);
    const std::vector<Stage> stages = trainer.model().stages();
    stages_ = stages.size();
    const std::vector<StageCosts> costs = measure_stages(stages, batch.input);
    planner_.emplace(costs);
    activation_planner_.emplace(costs, 1000, CheckpointPlanner::Counts::activations);
  }
  try {
    plain_ = this->run(std::nullopt);
  } catch (const OutOfMemory&) {
    plain_ = {
        .peak = CheckpointTrial::kTooMuch, .activations = CheckpointTrial::kTooMuch, .operations = planner_->work()};
  }
}

CheckpointTrial CheckpointStudy::run(std::optional<CheckpointPlan> plan) const {
  const RandomGuard random;
  const Device device = fresh_device();
  const DeviceScope scope(device);
  const ConvPolicyScope policy(run_.policy);
  const ActivationPeak activations(device);
  CheckpointTrial result{.plan = plan};
  Trainer trainer(run_.spec, run_.training);
  trainer.checkpoint(std::move(plan));
  for (int step = 0; step < 2; ++step) {
    const StepReport report = trainer.step(run_.batch, run_.size);
    result.peak = std::max(result.peak, report.peak.allocated);
    result.operations = report.operations;
  }
  result.activations = activations.bytes();
  return result;
}

CheckpointTrial CheckpointStudy::square_root() const {
  const auto segments = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(stages_))));
  return run(even_segments(stages_, segments));
}

std::vector<CheckpointTrial> CheckpointStudy::candidates() const {
  std::vector<CheckpointPlan> plans;
  for (const CheckpointPlanner* planner : {&*planner_, &*activation_planner_}) {
    for (PlannedCheckpoints& planned : planner->frontier()) plans.push_back(std::move(planned.plan));
  }
  thin(plans, kMostPlans);
  for (std::size_t segments = 1; segments <= std::min(stages_, kMostSegments); ++segments)
    plans.push_back(even_segments(stages_, segments));
  std::vector<CheckpointTrial> runs;
  for (CheckpointPlan& plan : plans) {
    try {
      runs.push_back(run(std::move(plan)));
    } catch (const OutOfMemory&) {
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [](const CheckpointTrial& a, const CheckpointTrial& b) {
    return a.operations != b.operations ? a.operations < b.operations : a.peak < b.peak;
  });
  return runs;
}

std::optional<CheckpointTrial> CheckpointStudy::within_budget(Bytes peak) const {
  if (plain_.peak <= peak) return plain_;
  for (CheckpointTrial& run : candidates()) {
    if (run.peak <= peak) return std::move(run);
  }
  return std::nullopt;
}

std::optional<CheckpointTrial> CheckpointStudy::within_extra(double extra) const {
  std::optional<CheckpointTrial> best;
  for (CheckpointTrial& run : candidates()) {
    if (run.extra(plain_) <= extra && (!best || run.peak < best->peak)) best = std::move(run);
  }
  return best;
}

ChosenPlan choose_plan(const RunPlan& run, const CheckpointRequest& request) {
  using Kind = CheckpointRequest::Kind;
  const CheckpointStudy study(run);
  if (request.kind == Kind::none) return {study.plain(), study.plain()};
  if (request.kind == Kind::given) {
    const auto stages = request.plan.parts.back().last;
    if (stages != study.stages())
      throw ConfigError(fmt::format("{} has {} stages, the plan is for {}", run.spec.name, study.stages(), stages));
    return {study.run(request.plan), study.plain()};
  }
  if (request.kind == Kind::segments) {
    if (request.segments > study.stages())
      throw ConfigError(fmt::format("{} has {} stages: 1 to {} segments, not {}", run.spec.name, study.stages(),
                                    study.stages(), request.segments));
    return {study.run(even_segments(study.stages(), request.segments)), study.plain()};
  }
  const std::optional<CheckpointTrial> found = request.kind == Kind::budget
                                                   ? study.within_budget(request.budget)
                                                   : study.within_extra(CheckpointRequest::kUsualExtra);
  if (found) return {*found, study.plain()};
  Bytes least = std::numeric_limits<Bytes>::max();
  for (const CheckpointTrial& candidate : study.candidates()) least = std::min(least, candidate.peak);
  throw ConfigError(fmt::format("no plan of checkpoints keeps {} at batch {}{}; the least is {} bytes", run.spec.name,
                                run.batch,
                                request.kind == Kind::budget ? fmt::format(" within {} bytes", request.budget)
                                                             : std::string(" within the usual extra operations"),
                                least));
}

}  // namespace mnemo::training
