#include "labs/stack.h"

#include <algorithm>
#include <iterator>

#include "labs/layer.h"
#include "labs/recorded_devices.h"
#include "labs/resolution.h"
#include "training/trainer.h"

namespace mnemo::labs {

using memory::Bytes;
using memory::Category;

const StackFormula::Pass StackFormula::kPasses[5] = {{"first forward", 16, ConvPass::forward},
                                                     {"second forward", 32, ConvPass::forward},
                                                     {"second data gradient", 32, ConvPass::data_gradient},
                                                     {"second weight gradient", 32, ConvPass::weight_gradient},
                                                     {"first weight gradient", 16, ConvPass::weight_gradient}};

models::Spec stack_spec(std::int64_t batch, std::int64_t size) {
  models::Spec spec{.name = "conv-relu-conv", .description = "two convolutions", .batch = batch, .size = size};
  spec.channels = 16;
  spec.spatial_rank = 3;
  spec.make = [] {
    return models::as_model(nn::Sequential(nn::Conv3d({.in = 16, .out = 32, .kernel = 3, .padding = 1}), nn::ReLU(),
                                           nn::Conv3d({.in = 32, .out = 32, .kernel = 3, .padding = 1})));
  };
  return spec;
}

StackFormula::StackFormula(const models::Spec& spec, const ConvPolicy& policy, const Device& device)
    : batch_(spec.batch), size_(spec.size), policy_(policy), device_(device) {
  const std::int64_t voxels = batch_ * size_ * size_ * size_;
  first_weight_ = block_bytes(32 * 16 * 27);
  second_weight_ = block_bytes(32 * 32 * 27);
  first_ = first_weight_ + block_bytes(32);
  second_ = second_weight_ + block_bytes(32);
  input_ = block_bytes(voxels * 16);
  plane_ = block_bytes(voxels * 32);
}

ConvPlan StackFormula::plan(const Pass& pass) const {
  const LayerCase layer{.in = pass.in, .out = 32, .padding = 1, .batch = batch_, .size = size_, .policy = policy_};
  return LayerFormula(layer, device_).plan(pass.pass);
}

Moment StackFormula::step_peak() const {
  const auto moment = [this](const Pass& pass, Bytes tensors) {
    const Bytes workspace = block_bytes(plan(pass).workspace, 1);
    return Moment{pass.name, tensors + workspace, workspace};
  };
  const Bytes always = parameters() + input_, number = block_bytes(1);
  const Bytes forward = always + 2 * plane_;  // the rectifier's output and the last one
  const Bytes backward = forward + number;    // with the loss
  return highest({
      {"", always + parameters(), 0},  // the gradients of the step before are still there
      moment(kPasses[0], always + plane_),
      moment(kPasses[1], forward),
      {"", backward + plane_ + number, 0},        // the squares' gradient
      moment(kPasses[2], backward + 2 * plane_),  // from the output's gradient to the rectifier's
      moment(kPasses[3], backward + 2 * plane_ + second_weight_),
      {"", backward + 2 * plane_ + second_, 0},
      moment(kPasses[4], backward + second_ + first_weight_),  // a gradient in place of what the rectifier had kept
  });
}

std::string StackFormula::engine() const {
  const std::string at = step_peak().name;
  for (const Pass& pass : kPasses) {
    if (at == pass.name) return at + " by " + engine_text(plan(pass));
  }
  return "no convolution";
}

bool StackFormula::estimated() const {
  return std::any_of(std::begin(kPasses), std::end(kPasses), [this](const Pass& pass) { return plan(pass).estimated; });
}

StackMeasurement measure(const models::Spec& spec, const ConvPolicy& policy, const std::string& name) {
  const ConvPolicyScope scope(policy);
  manual_seed(0);
  StackMeasurement measured;
  {
    const Device device = open_device(name, exact_blocks());
    const DeviceScope here(device);
    const auto model = spec.make();
    const models::Batch batch = models::random_batch(spec, spec.batch, spec.size);
    {
      const GradModeScope recording(false);
      const Tensor output = model->forward(batch.input);
      measured.saved_without_gradients = held_as(device.allocator().categories(), Category::saved_activation);
    }
    const Tensor output = model->forward(batch.input);
    measured.forward = device.allocator().categories();
  }
  const DeviceScope here(open_device(name, exact_blocks()));
  training::Trainer trainer(spec, training::Rule::sgd);
  trainer.step(spec.batch, spec.size);
  measured.peak = trainer.step(spec.batch, spec.size).peak;
  return measured;
}

}  // namespace mnemo::labs
