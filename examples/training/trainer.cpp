#include "training/trainer.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace mnemo::training {

namespace {

std::unique_ptr<optim::Optimizer> make_optimizer(const TrainerOptions& options, std::vector<Tensor> parameters) {
  const optim::SGDOptions sgd{.lr = options.lr.value_or(0.01), .master_weights = options.master_weights};
  const optim::AdamOptions adam{.lr = options.lr.value_or(0.001), .master_weights = options.master_weights};
  switch (options.rule) {
    case Rule::sgd:
      return std::make_unique<optim::SGD>(std::move(parameters), sgd);
    case Rule::adam:
      return std::make_unique<optim::Adam>(std::move(parameters), adam);
    case Rule::adam8bit:
      return std::make_unique<optim::Adam8bit>(std::move(parameters), adam);
    case Rule::nothing:
      break;
  }
  return nullptr;
}

}  // namespace

const char* name(Rule rule) {
  switch (rule) {
    case Rule::sgd:
      return "sgd";
    case Rule::adam:
      return "adam";
    case Rule::adam8bit:
      return "adam8bit";
    case Rule::nothing:
      break;
  }
  return "no optimizer";
}

std::string describe(const TrainerOptions& options) {
  std::string text = name(options.rule);
  if (options.lr) text += fmt::format(" with learning rate {}", *options.lr);
  if (options.step_in_backward) text += " in backward";
  if (options.master_weights) text += ", master weights";
  if (options.in_place) text += ", in place";
  if (options.offload) text += ", activations on the host";
  if (options.amp) text += std::string(", autocast to ") + mnemo::name(*options.amp);
  if (!options.workspace.empty()) text += ", workspaces " + options.workspace.text();
  if (options.graph) text += ", recorded and repeated";
  if (options.accumulate > 1) text += ", " + std::to_string(options.accumulate) + " batches per update";
  return text;
}

PhaseReport report_phase(std::string phase, const Device& device) {
  const memory::Statistics statistics = device.allocator().statistics();
  return {.phase = std::move(phase),
          .allocated = statistics.allocated_bytes.all.current,
          .reserved = statistics.reserved_bytes.all.current,
          .peak_allocated = statistics.allocated_bytes.all.peak,
          .peak_reserved = statistics.reserved_bytes.all.peak};
}

AutocastState autocast_of(const TrainerOptions& options) {
  return {.enabled = options.amp.has_value(), .dtype = options.amp.value_or(DType::bfloat16)};
}

Trainer::Trainer(const models::Spec& spec, const TrainerOptions& options)
    : spec_(spec), options_(options), model_(spec.make()) {
  if (options.dtype != DType::float32) model_->to(options.dtype);
  if (options.in_place) model_->work_in_place(true);
  if (options.offload) host_ = Device::open(device_.is_virtual() ? "virtual:cpu" : "cpu");
  optimizer_ = make_optimizer(options, model_->parameters());
  if (options.graph) {
    if (!optimizer_ || options.accumulate > 1 || options.recover || options.offload)
      throw GradError(
          "[trainer] a recorded step is one batch with its update on the device: leave out accumulation, "
          "recovery and offloading, and train");
    graph_ = std::make_unique<StepGraph>(device_);
  }
  if (!optimizer_) return;
  if (options.amp == DType::float16) scaler_.emplace();
  if (!options.step_in_backward) return;
  if (scaler_ || options.accumulate > 1 || options.recover) {
    throw GradError("[trainer] a step in backward needs each gradient once, unscaled and for good: leave out " +
                    std::string(scaler_           ? "float16 autocast (bfloat16 needs no scale)"
                                : options.recover ? "the recovery"
                                                  : "the accumulation"));
  }
  in_backward_.emplace(*optimizer_);
}

StepReport Trainer::step(std::int64_t batch_size, std::int64_t edge) {
  const DeviceScope scope(device_);
  const WorkspaceLimitsScope limited(options_.workspace);
  memory::CachingAllocator& allocator = device_.allocator();
  allocator.reset_peak();
  if (host_) host_->allocator().reset_peak();
  const memory::StepScope step(++steps_);
  StepReport report;
  const std::int64_t operations = operations_done();
  const auto begin = std::chrono::steady_clock::now();
  if (graph_)
    run_graph(batch_size, edge, report);
  else if (options_.recover && optimizer_)
    run_in_parts(batch_size, edge, report);
  else
    run(batch_size, edge, report);
  device_.backend().synchronize();
  if (!device_.is_virtual())
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.operations = operations_done() - operations;
  const PhaseReport& end = report.phases.emplace_back(report_phase("end", device_));
  report.allocated = end.allocated;
  report.reserved = end.reserved;
  report.peak_reserved = end.peak_reserved;
  report.peak = allocator.peak();
  if (host_) report.host_peak = host_->allocator().peak().allocated;
  return report;
}

// A function of its own, so that all that belongs to the step is released at its end.
void Trainer::run(std::int64_t batch_size, std::int64_t edge, StepReport& report) {
  const GradModeScope recording(optimizer_ != nullptr);
  const double share = 1 / static_cast<double>(options_.accumulate);
  const std::int64_t batches = optimizer_ ? options_.accumulate : 1;
  report.loss = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t i = 0; i < batches; ++i) {
    const memory::PhaseScope phase(memory::Phase::forward);
    const models::Batch batch = draw(batch_size, edge);
    end_phase("data", report);
    if (optimizer_ && i == 0) optimizer_->zero_grad();
    report.before_forward = device_.allocator().allocated();
    // The output stays until the end of the step, as in the loops that users write.
    Passed pass = forward(batch.input, batch.targets, report);
    end_phase("forward", report);
    if (!pass.loss.defined()) return;
    Tensor loss = std::move(pass.loss);
    if (optimizer_) {
      if (batches > 1) loss = loss * share;
      (scaler_ ? scaler_->scale(loss) : loss).backward();
      end_phase("backward", report);
      if (i == batches - 1) {
        update();
        end_phase("optimizer", report);
      }
    }
    // Reading a value that a virtual device does not have would only be worth a warning.
    if (!device_.is_virtual()) report.loss = i == 0 ? loss.item() : report.loss + loss.item();
  }
}

Trainer::Passed Trainer::forward(const Tensor& input, const Tensor& targets, StepReport& report) {
  const AutocastScope half(autocast_of(options_));
  std::optional<OffloadScope> offload;
  if (host_) offload.emplace(OffloadOptions{.host = host_});
  Passed pass;
  pass.output = plan_ ? run_chain(*plan_, model_->stages(), input) : model_->forward(input);
  report.after_forward = device_.allocator().allocated();
  if (optimizer_ || spec_.classes > 0) pass.loss = models::loss(spec_, pass.output, targets);
  return pass;
}

void Trainer::run_graph(std::int64_t batch_size, std::int64_t edge, StepReport& report) {
  const memory::PhaseScope phase(memory::Phase::forward);
  const models::Batch batch = draw(batch_size, edge);
  end_phase("data", report);
  report.before_forward = device_.allocator().allocated();
  std::vector<Tensor> inputs{batch.input};
  if (batch.targets.defined()) inputs.push_back(batch.targets);
  const Tensor loss = graph_->run(inputs, [&](std::span<const Tensor> in) {
    optimizer_->zero_grad();
    Tensor of_batch = forward(in[0], in.size() > 1 ? in[1] : Tensor(), report).loss;
    (scaler_ ? scaler_->scale(of_batch) : of_batch).backward();
    update();
    return of_batch.detach();
  });
  end_phase("graph", report);
  report.loss = device_.is_virtual() ? std::numeric_limits<double>::quiet_NaN() : loss.item();
}

void Trainer::run_in_parts(std::int64_t batch_size, std::int64_t edge, StepReport& report) {
  const memory::PhaseScope phase(memory::Phase::forward);
  optimizer_->zero_grad();
  const models::Batch batch = draw(batch_size, edge);
  end_phase("data", report);
  report.before_forward = device_.allocator().allocated();
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    if (begin == 0) report.loss = 0;
    const auto part = [&](const Tensor& all) { return all.defined() ? slice(all, 0, begin, end) : all; };
    Passed pass = forward(part(batch.input), part(batch.targets), report);
    end_phase("forward", report);
    Tensor loss = std::move(pass.loss);
    if (end - begin < batch_size) loss = loss * (static_cast<double>(end - begin) / static_cast<double>(batch_size));
    (scaler_ ? scaler_->scale(loss) : loss).backward();
    end_phase("backward", report);
    report.loss = device_.is_virtual() ? std::numeric_limits<double>::quiet_NaN() : report.loss + loss.item();
  };
  parts_.step(*model_, batch_size, body, [this] { update(); });
  end_phase("optimizer", report);
  report.part = parts_.part() > 0 ? std::min(parts_.part(), batch_size) : batch_size;
}

models::Batch Trainer::draw(std::int64_t batch_size, std::int64_t edge) {
  return data_ ? data_(batch_size) : models::random_batch(spec_, batch_size, edge, options_.dtype);
}

void Trainer::end_phase(const char* phase, StepReport& report) {
  report.phases.push_back(report_phase(phase, device_));
}

void Trainer::update() {
  if (in_backward_) return;
  if (!scaler_) return optimizer_->step();
  scaler_->step(*optimizer_);
  scaler_->update();
}

}  // namespace mnemo::training
