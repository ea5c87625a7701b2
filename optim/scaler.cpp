#include <mnemo/optim/scaler.h>

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/transaction.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/tag.h>
#include <mnemo/optim/step_in_backward.h>

namespace mnemo::optim {

namespace {

constexpr const char* kName = "GradScaler";

void check(bool sound, const char* what, double value, const char* rule) {
  if (!sound) throw ConfigError(fmt::format("[{}] {} is {}, {}", kName, what, value, rule));
}

void check(const GradScalerState& state) {
  const auto is_float = [](double value) { return value > 0 && std::isfinite(static_cast<float>(value)); };
  check(is_float(state.scale), "the scale", state.scale, "it must be positive and fit in a float32");
  check(state.growth >= 1 && is_float(state.growth), "growth", state.growth, "it must be at least 1");
  check(state.backoff > 0 && state.backoff <= 1, "backoff", state.backoff, "allowed are numbers above 0 up to 1");
  const auto interval = static_cast<double>(state.growth_interval);
  check(interval >= 1 && interval <= INT32_MAX, "growth_interval", interval, "allowed are 1 to 2147483647");
  const auto good = static_cast<double>(state.good_steps);
  check(good >= 0 && good < interval, "good_steps", good, "allowed are 0 to growth_interval - 1");
}

}  // namespace

GradScaler::GradScaler(const GradScalerOptions& options)
    : enabled_(options.enabled),
      start_{options.init_scale, options.growth, options.backoff, options.growth_interval, 0},
      rule_{options.growth, options.backoff, options.growth_interval} {
  check(start_);
}

void GradScaler::make_scale(const Device& device) {
  const memory::OpScope op("scale");
  const memory::CategoryScope category(memory::Category::optimizer_state);
  const Array scale = full(Shape{}, start_.scale, DType::float32, device);
  good_steps_ = full(Shape{}, static_cast<double>(start_.good_steps), DType::int32, device);
  scale_ = scale;
}

Tensor GradScaler::scale(const Tensor& loss) {
  if (!enabled_) return loss;
  check_kept_gradients(kName, loss);
  Transaction::on_rollback([this, scale = scale_, good_steps = good_steps_, progress = progress_]() mutable {
    scale_ = std::move(scale);
    good_steps_ = std::move(good_steps);
    progress_.swap(progress);
  });
  if (!scale_.defined()) make_scale(loss.device());
  return loss * Tensor(scale_);
}

GradScaler::Stage GradScaler::stage_of(const Optimizer& optimizer) const {
  const auto found = progress_.find(&optimizer);
  return found == progress_.end() ? Stage::ready : found->second.stage;
}

std::vector<Array> GradScaler::gradients_of(const char* op, const Optimizer& optimizer) const {
  if (optimizer.steps_in_backward()) {
    fail<GradError>(kName, fmt::format("{}: the optimizer steps during backward, before it is known whether all "
                                       "gradients are finite; end the StepInBackward, or train in bfloat16 unscaled",
                                       op));
  }
  if (!scale_.defined()) {
    fail<GradError>(kName, fmt::format("{}: no loss was scaled yet; call scale(loss).backward() first", op));
  }
  std::vector<Array> gradients;
  for (const Tensor& parameter : optimizer.parameters()) {
    const Array gradient = parameter.grad().array();
    if (!gradient.defined()) continue;
    if (gradient.dtype() == DType::float16) {
      fail<GradError>(kName,
                      fmt::format("{}: the gradient of parameter {} is float16, where dividing by the scale loses "
                                  "small values; keep parameters in float32 and use AutocastScope",
                                  op, parameter.shape().text()));
    }
    if (!(gradient.device() == scale_.device())) {
      fail<DeviceError>(kName,
                        fmt::format("{}: the gradient of parameter {} lies on {}, the scale on {}; use one "
                                    "scaler per device",
                                    op, parameter.shape().text(), gradient.device().name(), scale_.device().name()));
    }
    gradients.push_back(gradient);
  }
  if (gradients.empty()) {
    fail<GradError>(kName, fmt::format("{}: no parameter of the optimizer has a gradient; call scale(loss).backward() "
                                       "first",
                                       op));
  }
  return gradients;
}

Array GradScaler::look(const char* op, const Optimizer& optimizer, bool divide) const {
  std::vector<Array> gradients = gradients_of(op, optimizer);
  const memory::PhaseScope phase(memory::Phase::optimizer);
  const memory::OpScope scope("unscale");
  const memory::CategoryScope category(memory::Category::temporary);
  const Array found = full(Shape{}, 0, DType::float32, scale_.device());
  for (Array& gradient : gradients) {
    if (!gradient.layout().is_dense())
      gradient = gradient.contiguous();
    else if (divide && Transaction::holds(gradient))
      gradient = map(UnaryOp::affine, gradient, {1, 0});  // a copy: the one from before must stay
  }
  if (divide) {
    std::size_t next = 0;
    for (const Tensor& parameter : optimizer.parameters()) {
      if (!parameter.grad().defined()) continue;
      const Array& gradient = gradients[next++];
      if (!(parameter.grad().array().storage() == gradient.storage())) parameter.node()->grad = gradient;
      gradient.storage()->changed_in_place();
    }
  }
  scale_.device().backend().unscale(gradients, divide ? scale_ : Array(), found);
  return found;
}

void GradScaler::unscale(Optimizer& optimizer) {
  if (!enabled_) return;
  if (stage_of(optimizer) == Stage::unscaled) {
    fail<GradError>(kName, "unscale: the optimizer's gradients were unscaled already since the last update()");
  }
  if (stage_of(optimizer) == Stage::stepped) {
    fail<GradError>(kName, "unscale: the optimizer has stepped since the last update(); unscale before step()");
  }
  Array found = look("unscale", optimizer, true);
  progress_[&optimizer] = {Stage::unscaled, std::move(found)};
}

void GradScaler::step(Optimizer& optimizer) {
  if (!enabled_) return optimizer.step();
  const Stage stage = stage_of(optimizer);
  if (stage == Stage::stepped) {
    fail<GradError>(kName, "step: the optimizer has stepped already since the last update(); call update() first");
  }
  if (stage == Stage::unscaled) {
    Progress& progress = progress_[&optimizer];
    optimizer.step(Scaling{{}, progress.found});
    progress.stage = Stage::stepped;
    return;
  }
  Array found = look("step", optimizer, false);
  progress_[&optimizer];  // made before the step: nothing fails after it
  try {
    optimizer.step(Scaling{scale_, found});
  } catch (...) {
    progress_.erase(&optimizer);
    throw;
  }
  progress_[&optimizer] = {Stage::stepped, std::move(found)};
}

void GradScaler::update() {
  if (!enabled_) return;
  if (progress_.empty()) {
    fail<GradError>(kName, "update: no optimizer has stepped since the last update(); call step(optimizer) first");
  }
  const Array found = progress_.begin()->second.found;
  for (auto entry = std::next(progress_.begin()); entry != progress_.end(); ++entry)
    map_into(BinaryOp::add, found, entry->second.found, found);
  scale_.device().backend().update_scale(rule_, found, scale_, good_steps_);
  scale_.storage()->changed_in_place();
  progress_.clear();
}

double GradScaler::factor() const { return enabled_ ? state().scale : 1; }

GradScalerState GradScaler::state() const {
  GradScalerState state = start_;
  if (!scale_.defined()) return state;
  state.scale = scale_.item();
  state.good_steps = good_steps_.values<std::int64_t>().front();
  return state;
}

void GradScaler::load(const GradScalerState& state) {
  check(state);
  if (!progress_.empty()) fail<GradError>(kName, "load: in the middle of a step; call update() first");
  start_ = state;
  rule_ = {state.growth, state.backoff, state.growth_interval};
  if (!scale_.defined()) return;
  fill(scale_, state.scale);
  fill(good_steps_, static_cast<double>(state.good_steps));
}

std::vector<GradUnderflow> GradScaler::underflow(const Optimizer& optimizer, DType half) const {
  if (!is_half(half)) fail<DTypeError>(kName, fmt::format("underflow: {} is no half type", name(half)));
  if (stage_of(optimizer) != Stage::ready) {
    fail<GradError>(kName, "underflow: the gradients are unscaled already; ask before unscale() and step()");
  }
  const double smallest = half == DType::float16 ? 0x1p-14 : 0x1p-126;
  std::vector<GradUnderflow> report;
  for (std::size_t i = 0; i < optimizer.parameters().size(); ++i) {
    const Tensor gradient = optimizer.parameters()[i].grad();
    if (!gradient.defined()) continue;
    GradUnderflow& one = report.emplace_back();
    one.parameter = i;
    one.elements = gradient.numel();
    for (const double value : gradient.values<double>()) {
      if (value == 0)
        ++one.zeros;
      else if (!std::isfinite(value))
        ++one.not_finite;
      else if (std::abs(value) < smallest)
        ++one.subnormal;
    }
  }
  return report;
}

}  // namespace mnemo::optim
