#include "labs/conv1d_chain.h"

#include <algorithm>
#include <utility>

#include "labs/layer.h"
#include "labs/recorded_devices.h"
#include "training/trainer.h"

namespace mnemo::labs {

using memory::Bytes;
using memory::Category;

Conv1dFormula::Conv1dFormula(const Device& device, std::vector<Conv1dLayer> layers, std::int64_t batch,
                             std::int64_t length, bool pooled)
    : device_(device),
      layers_(std::move(layers)),
      batch_(batch),
      pooled_(pooled),
      input_(block_bytes(batch * layers_.front().in * length)),
      lengths_{pooled ? length / 2 : length} {
  for (const Conv1dLayer& layer : layers_) lengths_.push_back(lengths_.back() - layer.kernel + 1);
}

std::int64_t Conv1dFormula::parameter_values() const {
  std::int64_t values = 0;
  for (const Conv1dLayer& layer : layers_) values += layer.out * (layer.in / layer.groups) * layer.kernel + layer.out;
  return values;
}

Bytes Conv1dFormula::parameters() const {
  Bytes bytes = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) bytes += weight(i) + bias(i);
  return bytes;
}

Bytes Conv1dFormula::kept() const {
  Bytes bytes = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) bytes += activation(i);
  return bytes;
}

Bytes Conv1dFormula::inference_peak() const {
  const Bytes always = parameters() + input_;
  Bytes peak = always + activation(0);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    peak = std::max(peak, always + activation(i) + tensor(i + 1) + workspace(i, ConvPass::forward));
  return peak;
}

Bytes Conv1dFormula::step_peak() const {
  const Bytes number = block_bytes(1);
  Bytes held = parameters() + input_, peak = held + parameters();  // the gradients of the step before are there still
  held += activation(0);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    held += tensor(i + 1);
    peak = std::max(peak, held + workspace(i, ConvPass::forward));
  }
  Bytes gradient = output();
  held += number;  // the loss
  peak = std::max(peak, held + gradient + number);
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const Bytes next = i == 0 ? 0 : tensor(i);  // the gradient of what it reads; the first one's input needs none
    if (i > 0) peak = std::max(peak, held + gradient + next + workspace(i, ConvPass::data_gradient));
    held += weight(i);
    peak = std::max(peak, held + gradient + next + workspace(i, ConvPass::weight_gradient));
    held += bias(i);
    peak = std::max(peak, held + gradient + next);
    held -= activation(i);
    gradient = next;
  }
  return peak;
}

Bytes Conv1dFormula::weight(std::size_t layer) const {
  const Conv1dLayer& conv = layers_[layer];
  return block_bytes(conv.out * (conv.in / conv.groups) * conv.kernel);
}

Bytes Conv1dFormula::tensor(std::size_t place) const {
  const std::int64_t channels = place < layers_.size() ? layers_[place].in : layers_.back().out;
  return block_bytes(batch_ * channels * lengths_[place]);
}

Bytes Conv1dFormula::workspace(std::size_t layer, ConvPass pass) const {
  const Conv1dLayer& conv = layers_[layer];
  ConvProblem problem;
  problem.batch = batch_;
  problem.in_channels = conv.in;
  problem.out_channels = conv.out;
  problem.groups = conv.groups;
  problem.in = {1, 1, lengths_[layer]};
  problem.kernel = {1, 1, conv.kernel};
  problem.out = {1, 1, lengths_[layer + 1]};
  problem.spatial_rank = 1;
  return block_bytes(device_.backend().decisions().conv(problem, pass, conv_policy()).workspace, 1);
}

Conv1dMeasurement measure(const models::Spec& spec, std::int64_t batch, std::int64_t length, const std::string& name) {
  manual_seed(0);
  Conv1dMeasurement measured;
  {
    const Device device = open_device(name, exact_blocks());
    const DeviceScope scope(device);
    const auto model = spec.make();
    measured.parameter_values = model->parameter_count();
    const models::Batch data = models::random_batch(spec, batch, length);
    {
      const NoGradScope inference;
      device.allocator().reset_peak();
      model->forward(data.input);
      measured.inference_peak = device.allocator().peak().allocated;
    }
    const Tensor output = model->forward(data.input);
    const memory::CategoryBytes held = device.allocator().categories();
    measured.output_length = output.size(-1);
    measured.input = held_as(held, Category::input);
    measured.output = held_as(held, Category::live_activation);
    measured.kept = held_as(held, Category::saved_activation);
  }
  const DeviceScope scope(open_device(name, exact_blocks()));
  training::Trainer trainer(spec, training::Rule::sgd);
  trainer.step(batch, length);
  const training::StepReport step = trainer.step(batch, length);
  measured.step_peak = step.peak.allocated;
  measured.after_forward = step.after_forward;
  measured.step_operations = step.operations;
  return measured;
}

}  // namespace mnemo::labs
