#include <mnemo/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <mnemo/autograd/transaction.h>
#include <mnemo/core/capture.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/notes.h>
#include <mnemo/memory/log.h>
#include <mnemo/memory/tag.h>
#include <mnemo/optim/fresh_state.h>

namespace mnemo::optim {

namespace {

void check_number(const char* optimizer, const char* what, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw ConfigError(fmt::format("[{}] {} is {}, allowed are {} to {}", optimizer, what, value, low, high));
  }
}

constexpr double kLarge = Optimizer::kMostRate;

/// Whether a position in the memory of one is the same element in the other.
bool same_order(const Layout& a, const Layout& b) {
  for (int axis = 0; axis < a.shape.rank(); ++axis) {
    if (a.shape[axis] > 1 && a.strides[axis] != b.strides[axis]) return false;
  }
  return true;
}

}  // namespace

Optimizer::Optimizer(std::vector<Tensor> parameters, double lr, bool master_weights)
    : parameters_(std::move(parameters)), states_(parameters_.size()), lr_(0), master_weights_(master_weights) {
  if (parameters_.empty()) {
    throw ConfigError(
        "[optimizer] no parameters are given: a model has those that its visit names (v.child(\"conv\", conv), "
        "v.parameter(\"scale\", scale)), and trainable_parameters() those of them that are not frozen");
  }
  std::set<const Node*> seen;
  for (const Tensor& parameter : parameters_) {
    if (!parameter.requires_grad() || !parameter.is_leaf()) {
      fail<GradError>("optimizer", fmt::format("parameter {} is not a leaf that requires a gradient; leave frozen ones "
                                               "out: a model's trainable_parameters()",
                                               parameter.defined() ? parameter.shape().text() : "(undefined)"));
    }
    if (!parameter.array().layout().is_dense()) {
      fail<ShapeError>("optimizer",
                       fmt::format("parameter {} is a view with gaps or repeats in memory; make it contiguous() first",
                                   parameter.shape().text()));
    }
    if (!seen.insert(parameter.node().get()).second) {
      fail<GradError>("optimizer", fmt::format("parameter {} is given twice", parameter.shape().text()));
    }
  }
  set_lr(lr);
}

void Optimizer::set_lr(double lr) {
  check_number("optimizer", "lr", lr, 0, kMostRate);
  if (rate_.defined() && (Capture::current() != nullptr || Capture::is_rehearsal())) {
    fail<GradError>("optimizer",
                    "set_lr in a step that is recorded would set the same rate with every repetition; call it before "
                    "StepGraph::run");
  }
  lr_ = lr;
  if (rate_.defined()) fill(rate_, lr_);
}

Array Optimizer::record_in(Capture& capture, std::span<const std::size_t> which, std::int64_t count) {
  if (!rate_.defined() || !(rate_.device() == capture.device())) {
    fail<GradError>("optimizer",
                    fmt::format("a step on {} is recorded that has not been rehearsed with this optimizer; "
                                "record it with StepGraph, and do the same in every run",
                                capture.device().name()));
  }
  const Array later = capture.new_number();
  std::vector<std::size_t> stale;
  for (const std::size_t i : which) {
    if (is_stale(i)) stale.push_back(i);
  }
  capture.on_repeat([this, later, which = std::vector(which.begin(), which.end()), stale = std::move(stale),
                     count](std::int64_t repetition) {
    refresh_masters(repetition == 0 ? stale : which);
    for (const std::size_t i : which) states_[i].steps += repetition > 0 ? 1 : 0;
    mark_changed(which);
    // Other steps may have come between: it is not the number of repetitions.
    const std::int64_t since = states_[which.front()].steps - count;
    later.device().backend().write(&since, later);
  });
  return later;
}

void Optimizer::zero_grad(bool set_to_none) {
  for (Tensor& parameter : parameters_) parameter.zero_grad(set_to_none);
  for (State& state : states_) state.stepped = false;
}

std::int64_t Optimizer::steps(std::size_t parameter) const {
  const State& state = states_.at(parameter);
  return state.steps - (state.skipped.defined() ? static_cast<std::int64_t>(state.skipped.values<double>()[0]) : 0);
}

std::vector<std::size_t> Optimizer::all() const {
  std::vector<std::size_t> which(parameters_.size());
  std::iota(which.begin(), which.end(), std::size_t{0});
  return which;
}

Optimizer::Missing Optimizer::missing_state(std::span<const std::size_t> which, bool scaled) {
  const memory::CategoryScope category(memory::Category::optimizer_state);
  Missing fresh;
  if (scaled) {
    // One block per device, of which each parameter has an element.
    std::map<Backend*, std::vector<std::size_t>> lacking;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!states_[i].skipped.defined()) lacking[&parameters_[i].device().backend()].push_back(i);
    }
    for (const auto& [backend, parameters] : lacking) {
      const auto count = static_cast<std::int64_t>(parameters.size());
      const Array counts = full({count}, 0, DType::int32, parameters_[parameters.front()].device());
      for (std::int64_t i = 0; i < count; ++i)
        fresh.emplace_back(&states_[parameters[static_cast<std::size_t>(i)]].skipped, counts.slice(0, i, i + 1));
    }
  }
  for (const std::size_t i : which) {
    if (states_[i].steps == 0 && parameters_[i].grad().defined()) add_missing(i, fresh);
  }
  return fresh;
}

void Optimizer::add_missing(std::size_t index, Missing& missing) {
  const memory::CategoryScope category(memory::Category::optimizer_state);
  const auto add = [&](Array& place, Array zeros) {
    fill(zeros, 0);
    missing.emplace_back(&place, std::move(zeros));
  };
  State& state = states_[index];
  const Array& parameter = parameters_[index].array();
  const memory::Block* block = parameter.storage()->block();
  const memory::ModuleScope module(block == nullptr ? "" : block->tag.module);  // whose state it is
  const bool coded = in_8_bits(parameter);
  if (has_master(parameter) && !state.master.defined()) {
    missing.emplace_back(&state.master, parameter.to(DType::float32));
    state.version = parameter.storage()->version();
  }
  const DType precision = has_master(parameter) ? DType::float32 : parameter.dtype();
  for (Array* moment : {&state.first, &state.second}) {
    if (moment->defined() || moments() < (moment == &state.first ? 1 : 2)) continue;
    add(*moment, Array::like(parameter, coded ? DType::uint8 : precision));
    if (!coded) continue;
    const std::int64_t blocks = (parameter.numel() + kMomentBlock - 1) / kMomentBlock;
    add(moment == &state.first ? state.first_largest : state.second_largest,
        Array(Shape{blocks}, DType::float32, parameter.device()));
  }
}

bool Optimizer::is_stale(std::size_t parameter) const {
  const State& state = states_[parameter];
  return state.master.defined() && state.version != parameters_[parameter].array().storage()->version();
}

void Optimizer::refresh_masters(std::span<const std::size_t> which) {
  for (const std::size_t i : which) {
    if (!is_stale(i)) continue;
    const Array& parameter = parameters_[i].array();
    copy_into(parameter, states_[i].master);
    states_[i].version = parameter.storage()->version();
  }
}

void Optimizer::mark_changed(std::span<const std::size_t> which) {
  // Nothing is allocated here: a step that has begun cannot fail.
  for (std::size_t i = 0; master_weights_ && i < states_.size(); ++i) states_[i].is_current = !is_stale(i);
  for (const std::size_t i : which) parameters_[i].array().storage()->changed_in_place();
  for (std::size_t i = 0; master_weights_ && i < states_.size(); ++i) {
    if (states_[i].is_current) states_[i].version = parameters_[i].array().storage()->version();
  }
}

void Optimizer::step() { step(Scaling{}); }

void Optimizer::step(const Scaling& scaling) {
  if (in_backward_) {
    fail<GradError>("optimizer",
                    "the parameters were updated, and their gradients freed, during backward; leave step() out while "
                    "step_in_backward() is in use");
  }
  step(all(), scaling);
  Transaction::commit_all();
}

void Optimizer::step(std::span<const std::size_t> which, const Scaling& scaling) {
  std::optional<memory::PhaseScope> phase(memory::Phase::optimizer);
  if (!parameters_.empty()) note_phase(parameters_.front().device());
  const memory::OpScope op("update");
  const memory::CategoryScope category(memory::Category::temporary);
  Missing fresh = missing_state(which, scaling.found.defined());
  if (Capture::is_rehearsal() && !rate_.defined() && !parameters_.empty()) {
    const memory::CategoryScope state(memory::Category::optimizer_state);
    rate_ = full({1}, lr_, DType::float64, parameters_.front().device());
  }
  std::vector<Array> gradients(parameters_.size());
  for (const std::size_t i : which) {
    const Array& parameter = parameters_[i].array();
    gradients[i] = parameters_[i].grad().array();
    if (!gradients[i].defined() || same_order(gradients[i].layout(), parameter.layout())) continue;
    const Array same = Array::like(parameter, gradients[i].dtype());
    copy_into(gradients[i], same);
    gradients[i] = same;
  }
  const auto is_defined = [](const Array& gradient) { return gradient.defined(); };
  if (!which.empty() && !told_ && std::none_of(gradients.begin(), gradients.end(), is_defined)) {
    told_ = true;
    memory::log_warning(
        fmt::format("a step of an optimizer found a gradient for none of its {} parameters, and changes nothing: call "
                    "backward() before it, on a loss that depends on them, and zero_grad() behind it; a model that was "
                    "moved or cast has other parameters than the optimizer that was made before",
                    which.size()));
  }
  FreshState made(std::move(fresh));
  // One pass per device and step count: a parameter that had no gradient at first is behind the others.
  struct Pass {
    std::vector<UpdateSlot> slots;
    std::vector<std::size_t> which;
    Array later;
  };
  std::map<std::pair<Backend*, std::int64_t>, Pass> passes;
  for (const std::size_t i : which) {
    if (!gradients[i].defined()) continue;
    const Array& parameter = parameters_[i].array();
    const State& state = states_[i];
    Pass& pass = passes[{&parameter.device().backend(), state.steps + 1}];
    if (pass.slots.empty()) pass.slots.reserve(which.size());  // a slot is 8 arrays: dear to move
    const bool has_copy = state.master.defined();
    pass.slots.push_back({has_copy ? state.master : parameter, gradients[i], state.first, state.second,
                          state.first_largest, state.second_largest, state.skipped, has_copy ? parameter : Array()});
    pass.which.push_back(i);
  }
  Capture* const capture = Capture::current();
  for (auto& [key, pass] : passes) {
    if (capture != nullptr) pass.later = record_in(*capture, pass.which, key.second);
  }
  // All memory is there: nothing fails behind this.
  if (capture == nullptr) refresh_masters(which);  // else when it is repeated
  made.keep();
  for (const auto& [key, pass] : passes) {
    UpdateCall update = call(key.second);
    update.lr = lr_;
    update.scale = scaling.scale;
    update.found = scaling.found;
    update.count = key.second;
    if (capture != nullptr) {
      update.later = pass.later;
      update.rate = rate_;
    }
    key.first->update(update, pass.slots);
    mark_changed(pass.which);
  }
  for (const std::size_t i : which) {
    if (gradients[i].defined()) ++states_[i].steps;
  }
  phase.reset();
  if (!parameters_.empty()) note_phase(parameters_.front().device());
}

SGD::SGD(std::vector<Tensor> parameters, SGDOptions options)
    : Optimizer(std::move(parameters), options.lr, options.master_weights), options_(options) {
  check_number("SGD", "momentum", options.momentum, 0, kLarge);
  check_number("SGD", "dampening", options.dampening, -kLarge, kLarge);
  check_number("SGD", "weight_decay", options.weight_decay, 0, kLarge);
  if (options.nesterov && (options.momentum <= 0 || options.dampening != 0)) {
    throw ConfigError("[SGD] nesterov needs a momentum and no dampening");
  }
}

UpdateCall SGD::call(std::int64_t count) const {
  UpdateCall update;
  update.rule = UpdateCall::Rule::sgd;
  update.weight_decay = options_.weight_decay;
  update.maximize = options_.maximize;
  update.momentum = options_.momentum;
  update.dampening = options_.dampening;
  update.nesterov = options_.nesterov;
  update.first_step = count == 1;
  return update;
}

Adam::Adam(std::vector<Tensor> parameters, AdamOptions options)
    : Optimizer(std::move(parameters), options.lr, options.master_weights), options_(options) {
  check_number("Adam", "beta1", options.beta1, 0, std::nextafter(1.0, 0.0));
  check_number("Adam", "beta2", options.beta2, 0, std::nextafter(1.0, 0.0));
  check_number("Adam", "epsilon", options.epsilon, 0, kLarge);
  check_number("Adam", "weight_decay", options.weight_decay, 0, kLarge);
}

UpdateCall Adam::call(std::int64_t count) const {
  UpdateCall update;
  update.rule = UpdateCall::Rule::adam;
  update.weight_decay = options_.weight_decay;
  update.maximize = options_.maximize;
  update.beta1 = options_.beta1;
  update.beta2 = options_.beta2;
  update.epsilon = options_.epsilon;
  update.bias_correction1 = 1 - std::pow(options_.beta1, static_cast<double>(count));
  update.bias_correction2 = 1 - std::pow(options_.beta2, static_cast<double>(count));
  return update;
}

AdamW::AdamW(std::vector<Tensor> parameters, AdamWOptions options)
    : Adam(std::move(parameters), {options.lr, options.beta1, options.beta2, options.epsilon, options.weight_decay,
                                   options.maximize, options.master_weights}) {}

UpdateCall AdamW::call(std::int64_t count) const {
  UpdateCall update = Adam::call(count);
  update.decoupled_weight_decay = true;
  return update;
}

}  // namespace mnemo::optim
