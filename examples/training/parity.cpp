#include "training/parity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace mnemo::training {

namespace {

struct Precision {
  const char* name;
  DType dtype;
  std::optional<DType> amp;
};
constexpr std::array kPrecisions{Precision{"float32", DType::float32, {}},
                                 Precision{"bfloat16 autocast", DType::float32, DType::bfloat16},
                                 Precision{"float16 autocast", DType::float32, DType::float16},
                                 Precision{"bfloat16", DType::bfloat16, {}}, Precision{"float16", DType::float16, {}}};

/// A size that the model takes, no larger than needed for its layers to have something to do.
std::int64_t small_size(const models::Spec& spec) {
  constexpr std::int64_t kEnough = 16;
  std::int64_t size = std::max(spec.sizes.smallest, std::min(kEnough, spec.size));
  while (!spec.sizes.contains(size) && size < spec.size) ++size;
  return size;
}

memory::Bytes apart(const PhaseReport& a, const PhaseReport& b) {
  return std::max({std::abs(a.allocated - b.allocated), std::abs(a.reserved - b.reserved),
                   std::abs(a.peak_allocated - b.peak_allocated), std::abs(a.peak_reserved - b.peak_reserved)});
}

/// The first line of an error; the rest says who holds what.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void train(const ParityPoint& point, const Device& device, const ParityLimits& limits, ParityRun& run) {
  device.allocator().reset_peak();
  const memory::PhaseScope setup(memory::Phase::setup);
  Trainer trainer(point.spec, point.training);
  run.moments.push_back({0, report_phase("setup", device)});
  for (std::int64_t step = 1; step <= limits.steps; ++step) {
    const ConvTrace trace;
    const StepReport report = trainer.step(point.batch, point.size);
    if (step == 1) run.convolutions = trace.entries();
    for (const PhaseReport& phase : report.phases) run.moments.push_back({step, phase});
    run.seconds += report.seconds;
    run.operations += report.operations;
    if (limits.seconds > 0 && run.seconds > limits.seconds && step < limits.steps) {
      run.skipped = fmt::format("{} of {} steps took {:.1f} s on {}", step, limits.steps, run.seconds, device.name());
      return;
    }
  }
}

}  // namespace

std::string ParityPoint::dtype() const {
  for (const Precision& precision : kPrecisions) {
    if (precision.dtype == training.dtype && precision.amp == training.amp) return precision.name;
  }
  return name(training.dtype);
}

std::string ParityPoint::text() const {
  return fmt::format("{}, batch {}, size {}, {}, {}{}", spec.name, batch, size, dtype(), training::name(training.rule),
                     training.graph ? ", graph" : "");
}

void read_dtype(const std::string& dtype, TrainerOptions& training) {
  std::string known;
  for (const Precision& precision : kPrecisions) {
    if (dtype == precision.name) {
      training.dtype = precision.dtype;
      training.amp = precision.amp;
      return;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", precision.name);
  }
  throw ConfigError(fmt::format("\"{}\" is not one of {}", dtype, known));
}

ParityRun run_point(const ParityPoint& point, const Device& device, const ParityLimits& limits) {
  const RandomState before = random_state();
  const DeviceScope on_device(device);
  const std::int64_t estimated = device.backend().estimated_plans();
  device.allocator().empty_cache();
  ParityRun run;
  try {
    manual_seed(0);
    train(point, device, limits, run);
  } catch (const OutOfMemory& error) {
    run.skipped = first_line(error.what());
  } catch (...) {
    set_random_state(before);
    throw;
  }
  set_random_state(before);
  run.estimated = device.backend().estimated_plans() - estimated;
  if (!run.skipped.empty()) run.moments.clear();
  device.backend().synchronize();
  device.allocator().empty_cache();
  return run;
}

ParityDifference difference(const std::vector<Moment>& one, const std::vector<Moment>& other) {
  ParityDifference found;
  const auto note = [&found](std::size_t i, memory::Bytes bytes) {
    if (!found.first) found.first = i;
    found.bytes = std::max(found.bytes, bytes);
  };
  const std::size_t common = std::min(one.size(), other.size());
  for (std::size_t i = 0; i < common; ++i) {
    const memory::Bytes bytes = apart(one[i].memory, other[i].memory);
    const bool same_place = one[i].step == other[i].step && one[i].memory.phase == other[i].memory.phase;
    if (bytes > 0 || !same_place) note(i, std::max<memory::Bytes>(bytes, 1));
  }
  const std::vector<Moment>& longer = one.size() > other.size() ? one : other;
  for (std::size_t i = common; i < longer.size(); ++i) note(i, std::max<memory::Bytes>(apart(longer[i].memory, {}), 1));
  return found;
}

std::vector<ParityPoint> usual_points(const models::Spec& spec, bool small) {
  const bool fixed = spec.size == 0;
  const std::int64_t less = fixed ? 0 : small_size(spec);
  const std::set<std::int64_t> batches = fixed   ? std::set{spec.batch}
                                         : small ? std::set<std::int64_t>{2}
                                                 : std::set<std::int64_t>{1, spec.batch};
  const std::set<std::int64_t> sizes = small ? std::set{less} : std::set{less, spec.size};
  const std::span<const Precision> precisions = std::span(kPrecisions).first(small ? 2 : kPrecisions.size());
  std::vector<ParityPoint> points;
  for (const std::int64_t batch : batches) {
    for (const std::int64_t size : sizes) {
      for (const Precision& precision : precisions) {
        for (const Rule rule : {Rule::sgd, Rule::adam}) {
          points.push_back({.spec = spec, .batch = batch, .size = size, .training = {.rule = rule}});
          points.back().training.dtype = precision.dtype;
          points.back().training.amp = precision.amp;
        }
      }
    }
  }
  return points;
}

std::string twin_of(const Device& device) {
  if (device.is_virtual()) return device.name();
  const std::string title = device.backend().title();
  if (title.empty()) return "virtual:" + device.name();
  const Card* card = card_of_driver(title);
  return card == nullptr ? "" : std::string("virtual:") + card->name;
}

std::string required_twin(const Device& device) {
  std::string twin = twin_of(device);
  if (twin.empty()) {
    throw ConfigError(
        fmt::format("no card is known as \"{}\", so that no virtual device stands for {}: take a virtual "
                    "one of its size, such as virtual:24GiB",
                    device.backend().title(), device.name()));
  }
  return twin;
}

}  // namespace mnemo::training
