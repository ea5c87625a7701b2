#include "labs/replicas.h"

#include <algorithm>
#include <numeric>

#include "labs/layer.h"
#include "labs/recorded_devices.h"

namespace mnemo::labs {

std::vector<std::size_t> share_out(const std::vector<Tensor>& parameters, std::size_t count) {
  std::vector<std::size_t> order(parameters.size()), owners(parameters.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return parameters[a].numel() > parameters[b].numel(); });
  std::vector<std::int64_t> held(count, 0);
  for (const std::size_t parameter : order) {
    const auto least = static_cast<std::size_t>(std::min_element(held.begin(), held.end()) - held.begin());
    held[least] += parameters[parameter].numel();
    owners[parameter] = least;
  }
  return owners;
}

Replicas::Replicas(const models::Spec& spec, const std::string& device, std::size_t count, bool sharded)
    : spec_(spec), sharded_(sharded) {
  for (std::size_t i = 0; i < count; ++i) {
    Replica& replica = replicas_.emplace_back(Replica{.device = open_device(device, exact_blocks())});
    const DeviceScope here(replica.device);
    manual_seed(0);  // the same values everywhere
    replica.model = spec.make();
    replica.parameters = replica.model->parameters();
  }
  const std::vector<Tensor>& first = replicas_.front().parameters;
  owners_ = sharded ? share_out(first, count) : std::vector<std::size_t>(first.size(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Tensor> own;
    for (std::size_t parameter = 0; parameter < first.size(); ++parameter) {
      if (!sharded || owners_[parameter] == i) own.push_back(replicas_[i].parameters[parameter]);
    }
    if (!own.empty()) replicas_[i].optimizer = std::make_unique<optim::Adam>(std::move(own));
  }
}

void Replicas::run(Replica& replica, const Tensor& input, const Tensor& targets) const {
  const DeviceScope here(replica.device);
  for (Tensor& parameter : replica.parameters) parameter.zero_grad();
  const Tensor x = to(input, replica.device), labels = to(targets, replica.device);
  for (const Tensor& tensor : {x, labels}) tensor.array().storage()->set_category(memory::Category::input);
  const Tensor output = replica.model->forward(x);
  replica.forward = replica.device.allocator().categories();
  models::loss(spec_, output, labels).backward();
}

Tensor Replicas::send(const Tensor& from, const Device& to_device) {
  sent_ += from.array().bytes();
  return to(from, to_device);
}

void Replicas::average(std::size_t parameter) {
  const std::size_t owner = owners_[parameter];
  Tensor own = replicas_[owner].parameters[parameter].grad(), sum;
  // In the order of the replicas whoever the owner is, so that rounding is the same.
  for (std::size_t i = 0; i < count(); ++i) {
    const Tensor gradient = i == owner ? own : send(replicas_[i].parameters[parameter].grad(), device(owner));
    if (i == 0)
      sum = gradient;
    else
      add_(sum, gradient);
  }
  mul_(sum, 1 / static_cast<double>(count()));
  if (owner != 0) copy_(own, sum);
}

void Replicas::step(const models::Batch& batch) {
  const std::int64_t part = batch.input.size(0) / static_cast<std::int64_t>(count());
  for (std::size_t i = 0; i < count(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * part;
    run(replicas_[i], slice(batch.input, 0, begin, begin + part), slice(batch.targets, 0, begin, begin + part));
  }
  sent_ = 0;
  const GradModeScope recording(false);
  // To everyone but the owner goes what the owner has: a gradient before the step, or a parameter behind it.
  const auto share = [this](const auto& tensor_of) {
    for (std::size_t parameter = 0; parameter < owners_.size(); ++parameter) {
      const std::size_t owner = owners_[parameter];
      for (std::size_t i = 0; i < count(); ++i) {
        Tensor copy = tensor_of(replicas_[i].parameters[parameter]);
        if (i != owner) copy_(copy, send(tensor_of(replicas_[owner].parameters[parameter]), device(i)));
      }
    }
  };
  for (std::size_t parameter = 0; parameter < owners_.size(); ++parameter) average(parameter);
  if (!sharded_) share([](const Tensor& parameter) { return parameter.grad(); });
  for (Replica& replica : replicas_) {
    if (replica.optimizer) replica.optimizer->step();
  }
  if (sharded_) share([](const Tensor& parameter) { return parameter; });
}

}  // namespace mnemo::labs
