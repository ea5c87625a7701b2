#include "training/trainer.h"

#include <limits>
#include <utility>

namespace mnemo::training {

namespace {

std::unique_ptr<optim::Optimizer> make_optimizer(Rule rule, std::vector<Tensor> parameters) {
  switch (rule) {
    case Rule::sgd:
      return std::make_unique<optim::SGD>(std::move(parameters), optim::SGDOptions{.lr = 0.01});
    case Rule::adam:
      return std::make_unique<optim::Adam>(std::move(parameters), optim::AdamOptions{.lr = 0.001});
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
    case Rule::nothing:
      break;
  }
  return "no optimizer";
}

Trainer::Trainer(const models::Spec& spec, Rule rule, DType dtype) : spec_(spec), dtype_(dtype), model_(spec.make()) {
  if (dtype != DType::float32) model_->to(dtype);
  optimizer_ = make_optimizer(rule, model_->parameters());
}

StepReport Trainer::step(std::int64_t batch_size, std::int64_t edge) {
  const DeviceScope scope(device_);
  memory::CachingAllocator& allocator = device_.allocator();
  allocator.reset_peak();
  const memory::StepScope step(++steps_);
  StepReport report;
  const std::int64_t operations = operations_done();
  run(batch_size, edge, report);
  report.operations = operations_done() - operations;
  const memory::Statistics statistics = allocator.statistics();
  report.allocated = statistics.allocated_bytes.all.current;
  report.reserved = statistics.reserved_bytes.all.current;
  report.peak_reserved = statistics.reserved_bytes.all.peak;
  report.peak = allocator.peak();
  return report;
}

// A function of its own, so that all that belongs to the step is released at its end.
void Trainer::run(std::int64_t batch_size, std::int64_t edge, StepReport& report) {
  const memory::PhaseScope phase(memory::Phase::forward);
  const models::Batch batch = models::random_batch(spec_, batch_size, edge, dtype_);
  const GradModeScope recording(optimizer_ != nullptr);
  if (optimizer_) optimizer_->zero_grad();
  report.before_forward = device_.allocator().allocated();
  // Stays until the end of the step, as in the loops that users write.
  const Tensor output = plan_ ? run_chain(*plan_, model_->stages(), batch.input) : model_->forward(batch.input);
  report.after_forward = device_.allocator().allocated();
  report.loss = std::numeric_limits<double>::quiet_NaN();
  if (!optimizer_ && spec_.classes == 0) return;
  const Tensor loss = models::loss(spec_, output, batch.targets);
  if (optimizer_) {
    loss.backward();
    optimizer_->step();
  }
  // Reading a value that a virtual device does not have would only be worth a warning.
  if (!device_.is_virtual()) report.loss = loss.item();
}

}  // namespace mnemo::training
