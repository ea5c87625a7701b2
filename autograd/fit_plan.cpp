#include <mnemo/autograd/fit_plan.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <mnemo/autograd/checkpoint_planner.h>
#include <mnemo/autograd/workspace_search.h>
#include <mnemo/core/card.h>
#include <mnemo/core/device_memory.h>
#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_trace.h>

namespace mnemo {

namespace {

/// Bytes per second between a device and its host, for the least time of offloading: PCIe 4.0 with 16 lanes.
constexpr double kHostLink = 25e9;
/// Limits for all layers: where a way does not fit with the first, no limit for a single layer will do. The second is
/// for what only needs other blocks, not fewer bytes.
constexpr memory::Bytes kWorkspaceLimits[] = {0, 64 * memory::MiB};
/// A device without a known card is ranked as if it computed this much for each byte that it moves.
constexpr double kProductsPerByte = 10;
/// A dry run makes every one of them: a batch may be any number.
constexpr std::int64_t kMostParts = 256;
constexpr std::size_t kMostPlans = 60;
/// Of dry runs with limits for single layers, where the same ones for all layers do not help.
constexpr int kMostLowerings = 40;

bool is_exact(const FitChoices& choices) { return !choices.amp && choices.accumulate == 1; }

/// Whether it failed for a batch whose samples alone are more than the device has: all that helps are fewer of them.
bool is_hopeless(const FitTrial& trial) {
  if (!trial.failure || trial.failure->tag.category != memory::Category::input) return false;
  return trial.failure->requested > trial.failure->reserved + trial.failure->free;
}

/// Limited layers; all of them are more than any number.
std::size_t limited_layers(const FitChoices& choices) {
  const WorkspaceLimits::ByPath& limits = choices.workspace.by_path();
  return limits.contains("") ? std::numeric_limits<std::size_t>::max() : limits.size();
}

}  // namespace

const char* name(Technique technique) {
  static constexpr const char* names[kTechniques] = {
      "in-place", "optimizer-in-backward", "workspace", "amp", "accumulate", "checkpoint", "offload"};
  return names[static_cast<std::size_t>(technique)];
}

std::vector<Technique> FitChoices::used() const {
  std::vector<Technique> list;
  if (in_place) list.push_back(Technique::in_place);
  if (step_in_backward) list.push_back(Technique::step_in_backward);
  if (!workspace.empty()) list.push_back(Technique::workspace);
  if (amp) list.push_back(Technique::amp);
  if (accumulate > 1) list.push_back(Technique::accumulate);
  if (checkpoint) list.push_back(Technique::checkpoint);
  if (offload) list.push_back(Technique::offload);
  return list;
}

double roofline(const Card& card, const Work& work, DType dtype) {
  const double flops = dtype == DType::float16 || dtype == DType::bfloat16 ? card.half_flops : card.float32_flops;
  const double bytes = 2.0 * static_cast<double>(work.elements) * static_cast<double>(size_of(dtype));
  return static_cast<double>(work.products) / flops + bytes / card.bandwidth;
}

Fitting::Fitting(FitRequest request) : request_(std::move(request)) {
  const Device device = Device::open(request_.device, request_.config);
  capacity_ = device.allocator().source().capacity();
  context_ = memory::context(device).value_or(0);
  card_ = card_of_device(request_.device);
  if (!device.is_virtual() || capacity_ <= 0) {
    throw DeviceError(fmt::format(
        "[plan] {} is not a virtual device with a capacity; write virtual:CARD, virtual:CARD,SIZE or virtual:SIZE, "
        "such as virtual:24GiB",
        request_.device));
  }
  if (request_.batch < 1)
    throw ConfigError(fmt::format("[plan] a batch of {} is none; it is at least 1", request_.batch));
  if (!request_.program) throw ConfigError("[plan] there is no program; give .program, which trains as it is told");
  plain_ = run({.batch = request_.batch}, without_limit(request_.device));
}

bool Fitting::allowed(Technique technique) const {
  return std::find(request_.allow.begin(), request_.allow.end(), technique) != request_.allow.end();
}

FitTrial Fitting::run(const FitChoices& choices, const std::string& device) {
  ++dry_runs_;
  FitTrial trial{.choices = choices};
  Work work;
  const ConvTrace convolutions;
  const DryRun dry = dry_run(
      device,
      [&] {
        const Work before = work_done();
        request_.program(choices);
        work = work_done() - before;
      },
      request_.config);
  for (const ConvTrace::Entry& entry : convolutions.entries()) {
    memory::Bytes& most = trial.workspaces[entry.module];
    most = std::max(most, entry.plan.workspace);
  }
  trial.fits = dry.fits();
  if (dry.failure) trial.failure = dry.failure->details();
  trial.peak_allocated = dry.peak_allocated;
  trial.peak_reserved = dry.peak_reserved;
  trial.spare = capacity_ - context_ - dry.peak_reserved;
  trial.work = {work.products / request_.steps, work.elements / request_.steps};
  return trial;
}

FitTrial Fitting::attempt(const FitChoices& choices) {
  FitTrial trial = run(choices, request_.device);
  if (!trial.fits) return trial;
  trial.extra_operations = trial.work.operations() - plain_.work.operations();
  if (card_ != nullptr) {
    const DType dtype = choices.amp.value_or(request_.dtype);
    double seconds = roofline(*card_, trial.work, dtype) - roofline(*card_, plain_.work, request_.dtype);
    if (choices.offload) {  // out and back, at least what is no longer there at the peak
      const auto moved = std::max<memory::Bytes>(0, plain_.peak_allocated - trial.peak_allocated);
      seconds += 2 * static_cast<double>(moved) / kHostLink;
    }
    trial.extra_seconds = seconds;
  }
  return trial;
}

FitTrial Fitting::attempt_limiting(const FitChoices& choices) {
  const FitTrial trial = attempt(choices);
  if (!allowed(Technique::workspace) || !choices.workspace.empty() || !workspaces_stand_in_the_way(trial)) return trial;
  FitChoices limited = choices;
  for (const memory::Bytes limit : kWorkspaceLimits) {
    limited.workspace.set("", limit);
    FitTrial other = attempt(limited);
    if (other.fits) return other;
    if (!workspaces_stand_in_the_way(other)) break;
  }
  return trial;
}

FitTrial Fitting::limiting_single_layers(FitTrial trial) {
  if (trial.choices.workspace.empty()) return trial;
  FitChoices choices = trial.choices;
  choices.workspace = {};
  const auto tries = [this](const FitChoices& each) { return attempt(each); };
  return limit_layers(attempt(choices), tries).value_or(std::move(trial));
}

FitTrial Fitting::as_it_is() { return attempt({.batch = request_.batch}); }

double Fitting::cost(const FitTrial& trial) const {
  if (trial.extra_seconds) return std::max(0.0, *trial.extra_seconds);
  const Work extra = trial.work - plain_.work;
  return std::max(0.0, static_cast<double>(extra.products) / kProductsPerByte + static_cast<double>(extra.elements)) +
         (trial.choices.offload ? static_cast<double>(plain_.peak_allocated) : 0);
}

bool Fitting::better(const FitTrial& a, const FitTrial& b) const {
  const auto key = [&](const FitTrial& trial) {
    return std::tuple(cost(trial), !is_exact(trial.choices), trial.choices.used().size(), limited_layers(trial.choices),
                      trial.choices.accumulate, trial.peak_reserved);
  };
  return key(a) < key(b);
}

/// All that is allowed, but for checkpoints and workspaces.
std::vector<FitChoices> Fitting::combinations() const {
  std::vector<FitChoices> list{{.batch = request_.batch}};
  const auto also = [&list](auto change) {
    const std::size_t count = list.size();
    for (std::size_t i = 0; i < count; ++i) {
      FitChoices changed = list[i];
      if (change(changed)) list.push_back(std::move(changed));
    }
  };
  if (allowed(Technique::accumulate)) {
    for (std::int64_t parts = 2; parts <= std::min(request_.batch, kMostParts); ++parts) {
      if (request_.batch % parts == 0) list.push_back({.batch = request_.batch / parts, .accumulate = parts});
    }
  }
  if (allowed(Technique::in_place)) also([](FitChoices& c) { return c.in_place = true; });
  if (allowed(Technique::step_in_backward))
    also([](FitChoices& c) { return c.accumulate == 1 && (c.step_in_backward = true); });
  if (allowed(Technique::amp) && request_.dtype == DType::float32)
    also([](FitChoices& c) { return c.amp = DType::bfloat16, true; });
  if (allowed(Technique::offload)) also([](FitChoices& c) { return c.offload = true; });
  return list;
}

/// The plan of checkpoints with the fewest operations with which `base` fits; `alone`: without limits of workspaces.
void Fitting::add_checkpoints(const FitChoices& base, bool alone, std::vector<FitTrial>& found) {
  std::vector<CheckpointPlan> plans;
  std::size_t stages = 0;
  dry_run(
      without_limit(request_.device),
      [&] {
        const std::vector<StageCosts> costs = request_.stages(base);
        stages = costs.size();
        for (const auto counts : {CheckpointPlanner::Counts::everything, CheckpointPlanner::Counts::activations}) {
          for (PlannedCheckpoints& planned : CheckpointPlanner(costs, 1000, counts).frontier())
            plans.push_back(std::move(planned.plan));
        }
      },
      request_.config);
  if (plans.size() > kMostPlans) {
    std::vector<CheckpointPlan> some;
    for (std::size_t i = 0; i < kMostPlans; ++i) some.push_back(plans[i * (plans.size() - 1) / (kMostPlans - 1)]);
    plans = std::move(some);
  }
  for (std::size_t segments = 2; segments <= std::min<std::size_t>(stages, 16); ++segments)
    plans.push_back(even_segments(stages, segments));
  std::optional<FitTrial> best;
  for (CheckpointPlan& each : plans) {
    FitChoices choices = base;
    choices.checkpoint = std::move(each);
    FitTrial trial = alone ? attempt(choices) : attempt_limiting(choices);
    if (trial.fits && (!best || better(trial, *best))) best = std::move(trial);
  }
  if (best) found.push_back(*std::move(best));
}

std::vector<FitTrial> Fitting::cheapest(std::size_t most, bool single) {
  std::vector<FitTrial> found;
  const auto sort = [&] {
    std::stable_sort(found.begin(), found.end(), [&](const FitTrial& a, const FitTrial& b) { return better(a, b); });
  };
  std::vector<FitChoices> all = combinations();
  if (single) std::erase_if(all, [](const FitChoices& choices) { return choices.used().size() > 1; });
  // More parts take no less time: once some fit, no more are tried of what else is the same.
  std::vector<FitChoices> fitting;
  const auto fits_in_fewer = [&](const FitChoices& choices) {
    return std::any_of(fitting.begin(), fitting.end(), [&](const FitChoices& each) {
      return each.accumulate > 1 && each.accumulate < choices.accumulate && each.in_place == choices.in_place &&
             each.amp == choices.amp && each.offload == choices.offload;
    });
  };
  std::int64_t hopeless = std::numeric_limits<std::int64_t>::max();  // from this batch on
  for (const FitChoices& choices : all) {
    if (fits_in_fewer(choices) || choices.batch >= hopeless) continue;
    FitTrial trial = single && !choices.used().empty() ? attempt(choices) : attempt_limiting(choices);
    if (is_hopeless(trial)) hopeless = std::min(hopeless, choices.batch);
    if (!trial.fits) continue;
    fitting.push_back(choices);
    found.push_back(std::move(trial));
  }
  // Where not bytes are missing but blocks that lie together, other limits may do than the same ones for all layers.
  if (found.empty() && allowed(Technique::workspace)) {
    const auto tries = [this](const FitChoices& each) { return attempt(each); };
    if (auto limited = limit_layers(attempt({.batch = request_.batch}), tries, kMostLowerings))
      found.push_back(*std::move(limited));
  }
  sort();
  // Checkpoints cost time: nothing that costs none is beaten by them. They are tried on whatever costs none itself, and
  // if that does not help, on all there is.
  const bool free = !found.empty() && most == 1 && cost(found.front()) <= 0;
  if (allowed(Technique::checkpoint) && request_.stages && !free) {
    std::vector<FitChoices> bases{{.batch = request_.batch}};
    if (!single) {
      for (const bool amp : {false, true}) {
        if (amp && (!allowed(Technique::amp) || request_.dtype != DType::float32)) continue;
        FitChoices base{.batch = request_.batch};
        base.in_place = allowed(Technique::in_place);
        base.step_in_backward = allowed(Technique::step_in_backward);
        if (amp) base.amp = DType::bfloat16;
        if (!base.used().empty()) bases.push_back(base);
      }
    }
    for (const FitChoices& base : bases) {
      if (base.batch < hopeless) add_checkpoints(base, single, found);
    }
    if (found.empty() && !single) {
      std::stable_sort(all.begin(), all.end(),
                       [](const FitChoices& a, const FitChoices& b) { return a.accumulate < b.accumulate; });
      for (const FitChoices& base : all) {
        if (base.accumulate == 1 || base.offload || base.batch >= hopeless) continue;
        add_checkpoints(base, false, found);
        if (!found.empty()) break;
      }
    }
    sort();
  }
  std::vector<FitTrial> best;
  for (FitTrial& trial : found) {
    const bool more = std::any_of(best.begin(), best.end(), [&](const FitTrial& each) {
      const std::vector<Technique> its = each.choices.used(), ours = trial.choices.used();
      return std::includes(ours.begin(), ours.end(), its.begin(), its.end());
    });
    if (!more && best.size() < most) best.push_back(limiting_single_layers(std::move(trial)));
  }
  return best;
}

FitTrial plan(const FitRequest& request) {
  Fitting fitting(request);
  FitTrial plain = fitting.as_it_is();
  if (plain.fits) return plain;
  std::vector<FitTrial> found = fitting.cheapest(1);
  return found.empty() ? plain : found.front();
}

}  // namespace mnemo
