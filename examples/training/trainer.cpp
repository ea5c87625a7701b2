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

Trainer::Trainer(const models::Spec& spec, Rule rule)
    : spec_(spec), model_(spec.make()), optimizer_(make_optimizer(rule, model_->parameters())) {}

StepReport Trainer::step(std::int64_t batch_size, std::int64_t edge) {
  const DeviceScope scope(device_);
  memory::CachingAllocator& allocator = device_.allocator();
  allocator.reset_peak();
  const memory::StepScope step(++steps_);
  const double loss = run(batch_size, edge);
  const memory::Statistics statistics = allocator.statistics();
  return {.loss = loss,
          .allocated = statistics.allocated_bytes.all.current,
          .reserved = statistics.reserved_bytes.all.current,
          .peak_reserved = statistics.reserved_bytes.all.peak,
          .peak = allocator.peak()};
}

// A function of its own, so that all that belongs to the step is released at its end.
double Trainer::run(std::int64_t batch_size, std::int64_t edge) {
  const memory::PhaseScope phase(memory::Phase::forward);
  const models::Batch batch = models::random_batch(spec_, batch_size, edge);
  const GradModeScope recording(optimizer_ != nullptr);
  if (optimizer_) optimizer_->zero_grad();
  const Tensor output =
      model_->forward(batch.input);  // stays until the end of the step, as in the loops that users write
  const Tensor loss = models::loss(spec_, output, batch.targets);
  if (optimizer_) {
    loss.backward();
    optimizer_->step();
  }
  // Reading a value that a virtual device does not have would only be worth a warning.
  return device_.is_virtual() ? std::numeric_limits<double>::quiet_NaN() : loss.item();
}

}  // namespace mnemo::training
