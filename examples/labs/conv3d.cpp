#include "labs/conv3d.h"

#include <algorithm>

#include "labs/arithmetic.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;

constexpr std::int64_t kIn = 16, kOut = 32;

constexpr std::int64_t cube(std::int64_t edge) { return edge * edge * edge; }

Bytes of(const memory::CategoryBytes& categories, Category category) {
  return categories[static_cast<std::size_t>(category)];
}

}  // namespace

std::int64_t Conv3dFormula::weight_values() const { return kOut * kIn * cube(case_.kernel); }
Bytes Conv3dFormula::parameters() const { return block_bytes(weight_values()) + block_bytes(kOut); }
Bytes Conv3dFormula::input() const { return block_bytes(case_.batch * kIn * cube(case_.size)); }
Bytes Conv3dFormula::output() const { return block_bytes(case_.batch * kOut * cube(output_edge())); }

Bytes Conv3dFormula::workspace(ConvPass pass) const {
  const auto all = [](std::int64_t edge) { return Size3{edge, edge, edge}; };
  ConvProblem problem;
  problem.batch = case_.batch;
  problem.in_channels = kIn;
  problem.out_channels = kOut;
  problem.in = all(case_.size);
  problem.kernel = all(case_.kernel);
  problem.out = all(output_edge());
  problem.padding = all(case_.padding);
  problem.spatial_rank = 3;
  const ConvPlan plan = device_.backend().decisions().conv(problem, pass, {.choice = case_.algorithm});
  return block_bytes(plan.workspace, 1);
}

Bytes Conv3dFormula::reserved() const {
  return segment_bytes(
      {block_bytes(weight_values()), block_bytes(kOut), input(), output(), workspace(ConvPass::forward)});
}

Bytes Conv3dFormula::step_peak() const {
  const Bytes number = block_bytes(1), gradient = output();
  const Bytes forward = parameters() + input() + output();
  const Bytes backward =
      forward + number + gradient;  // with the loss; the gradient of the squares has the output's size
  return std::max({parameters() + parameters() + input(),  // before the step before is cleared away
                   forward + workspace(ConvPass::forward),
                   backward + number,  // with the gradient of the loss
                   backward + block_bytes(weight_values()) + workspace(ConvPass::weight_gradient),
                   backward + parameters()});  // their gradients
}

Conv3dMeasurement measure(const Conv3dCase& layer, const std::string& device_name) {
  const models::Spec& spec = *models::find_spec(layer.model);
  const ConvPolicyScope algorithm({.choice = layer.algorithm});
  manual_seed(0);
  Conv3dMeasurement measured;
  {
    const Device device = Device::open(device_name, {});
    const DeviceScope scope(device);
    const auto model = spec.make();
    const models::Batch batch = models::random_batch(spec, layer.batch, layer.size);
    device.allocator().reset_peak();
    const Tensor output = model->forward(batch.input);
    const memory::CategoryBytes held = device.allocator().categories();
    measured.output_edge = output.size(-1);
    measured.weight_values = model->parameters().front().numel();
    measured.parameters = of(held, Category::parameter);
    measured.input = of(held, Category::input);
    measured.output = of(held, Category::live_activation);
    measured.workspace = of(device.allocator().peak().categories, Category::workspace);
    measured.reserved = device.allocator().reserved();
  }
  const Device device = Device::open(device_name, {});
  const DeviceScope scope(device);
  training::Trainer trainer(spec, training::Rule::sgd);
  trainer.step(layer.batch, layer.size);
  measured.step_peak = trainer.step(layer.batch, layer.size).peak.allocated;
  return measured;
}

}  // namespace mnemo::labs
