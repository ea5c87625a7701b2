#include <mnemo/optim/schedule.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/optim/optimizer.h>

namespace mnemo::optim {

namespace {

void check(const char* schedule, const char* what, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw ConfigError(fmt::format("[{}] {} is {}, allowed are {} to {}", schedule, what, value, low, high));
}

constexpr double kMost = Optimizer::kMostRate;

void check_count(const char* schedule, const char* what, std::int64_t value, std::int64_t least) {
  if (value < least)
    throw ConfigError(fmt::format("[{}] {} is {}, it must be at least {}", schedule, what, value, least));
}

/// Half a wave of the cosine from one value to another; `share` of the way from 0 to 1.
double along_cosine(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

double share_of(std::int64_t step, std::int64_t steps) {
  return static_cast<double>(std::min(step, steps)) / static_cast<double>(steps);
}

/// A schedule that knows its steps: none is before the first one.
Schedule from_step_0(const char* name, Schedule schedule) {
  return [name, schedule = std::move(schedule)](std::int64_t step) {
    check_count(name, "step", step, 0);
    return schedule(step);
  };
}

}  // namespace

Schedule step_decay(double lr, std::int64_t every, double factor) {
  check("step_decay", "lr", lr, 0, kMost);
  check("step_decay", "factor", factor, 0, kMost);
  check_count("step_decay", "every", every, 1);
  return from_step_0("step_decay",
                     [=](std::int64_t step) { return lr * std::pow(factor, static_cast<double>(step / every)); });
}

Schedule multi_step_decay(double lr, std::vector<std::int64_t> milestones, double factor) {
  check("multi_step_decay", "lr", lr, 0, kMost);
  check("multi_step_decay", "factor", factor, 0, kMost);
  if (!std::is_sorted(milestones.begin(), milestones.end()))
    throw ConfigError(fmt::format("[multi_step_decay] milestones {} are not in ascending order; sort them",
                                  fmt::join(milestones, ", ")));
  return from_step_0("multi_step_decay", [=, milestones = std::move(milestones)](std::int64_t step) {
    const auto behind = std::upper_bound(milestones.begin(), milestones.end(), step);
    return lr * std::pow(factor, static_cast<double>(behind - milestones.begin()));
  });
}

Schedule exponential_decay(double lr, double factor) {
  check("exponential_decay", "lr", lr, 0, kMost);
  check("exponential_decay", "factor", factor, 0, kMost);
  return from_step_0("exponential_decay",
                     [=](std::int64_t step) { return lr * std::pow(factor, static_cast<double>(step)); });
}

Schedule polynomial(double from, double to, std::int64_t steps, double power) {
  check("polynomial", "from", from, 0, kMost);
  check("polynomial", "to", to, 0, kMost);
  check("polynomial", "power", power, 0, kMost);
  check_count("polynomial", "steps", steps, 1);
  return from_step_0("polynomial", [=](std::int64_t step) {
    return step >= steps ? to : to + (from - to) * std::pow(1 - share_of(step, steps), power);
  });
}

Schedule cosine(double from, double to, std::int64_t steps) {
  check("cosine", "from", from, 0, kMost);
  check("cosine", "to", to, 0, kMost);
  check_count("cosine", "steps", steps, 1);
  return from_step_0("cosine", [=](std::int64_t step) { return along_cosine(from, to, share_of(step, steps)); });
}

Schedule warmup(std::int64_t steps, Schedule next, double start) {
  check_count("warmup", "steps", steps, 0);
  check("warmup", "start", start, 0, kMost);
  if (!next) throw ConfigError("[warmup] there is no schedule to come after it");
  return from_step_0("warmup", [=, next = std::move(next)](std::int64_t step) {
    return step >= steps ? next(step - steps) : next(0) * (start + (1 - start) * share_of(step, steps));
  });
}

Schedule one_cycle(const OneCycleOptions& options) {
  check("one_cycle", "max_lr", options.max_lr, 0, kMost);
  check("one_cycle", "rising", options.rising, 0, 1);
  // Smaller ones would make "down" a way up.
  check("one_cycle", "start_divisor", options.start_divisor, 1, kMost);
  check("one_cycle", "end_divisor", options.end_divisor, 1, kMost);
  check_count("one_cycle", "steps", options.steps, 1);
  return from_step_0("one_cycle", [options](std::int64_t step) {
    const double first = options.max_lr / options.start_divisor, end = first / options.end_divisor;
    // Counted between steps: the first one is at 0, the last one at steps - 1.
    const auto last = static_cast<double>(options.steps - 1);
    const double top = std::clamp(options.rising * static_cast<double>(options.steps) - 1, 0.0, last);
    const double at = std::min(static_cast<double>(step), last);
    const auto between = [&](double from, double to, double share) {
      return options.linear ? from + (to - from) * share : along_cosine(from, to, share);
    };
    if (at < top) return between(first, options.max_lr, at / top);
    return top == last ? options.max_lr : between(options.max_lr, end, (at - top) / (last - top));
  });
}

ReduceOnPlateau::ReduceOnPlateau(double lr, const ReduceOnPlateauOptions& options) : options_(options) {
  constexpr const char* name = "ReduceOnPlateau";
  check(name, "factor", options.factor, 0, std::nextafter(1.0, 0.0));
  check(name, "threshold", options.threshold, 0, kMost);
  check(name, "min_lr", options.min_lr, 0, kMost);
  check_count(name, "patience", options.patience, 0);
  check_count(name, "cooldown", options.cooldown, 0);
  load({.lr = lr});
}

void ReduceOnPlateau::load(const ReduceOnPlateauState& state) {
  check("ReduceOnPlateau", "lr", state.lr, 0, kMost);
  check_count("ReduceOnPlateau", "bad", state.bad, 0);
  check_count("ReduceOnPlateau", "cooldown", state.cooldown, 0);
  state_ = state;
}

bool ReduceOnPlateau::improves(double measured) const {
  if (std::isnan(measured)) return false;
  if (std::isnan(state_.best)) return true;
  const double sign = options_.maximize ? 1 : -1;
  const double least = state_.best + sign * options_.threshold * (options_.relative ? std::abs(state_.best) : 1);
  return options_.maximize ? measured > least : measured < least;
}

double ReduceOnPlateau::operator()(double measured) {
  if (improves(measured)) {
    state_.best = measured;
    state_.bad = 0;
  } else {
    ++state_.bad;
  }
  if (state_.cooldown > 0) {
    --state_.cooldown;
    state_.bad = 0;
  }
  if (state_.bad > options_.patience) {
    state_.lr = std::min(state_.lr, std::max(state_.lr * options_.factor, options_.min_lr));
    state_.bad = 0;
    state_.cooldown = options_.cooldown;
  }
  return state_.lr;
}

}  // namespace mnemo::optim
