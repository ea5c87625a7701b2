#include "labs/layer.h"

#include <fmt/format.h>

#include "labs/recorded_devices.h"
#include "models/layer.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;

std::int64_t power(std::int64_t base, int exponent) { return exponent == 0 ? 1 : base * power(base, exponent - 1); }

/// The trailing `rank` sizes of a convolution.
Size3 trailing(std::int64_t edge, std::int64_t other, int rank) {
  Size3 sizes{other, other, other};
  for (int axis = 3 - rank; axis < 3; ++axis) sizes[static_cast<std::size_t>(axis)] = edge;
  return sizes;
}

Shape shape_of(std::int64_t first, std::int64_t second, std::int64_t edge, int rank) {
  Dims dims{first, second};
  for (int axis = 0; axis < rank; ++axis) dims.push_back(edge);
  return Shape(dims);
}

}  // namespace

memory::AllocatorConfig exact_blocks() { return memory::AllocatorConfig::parse("expandable_segments:True"); }

LayerCase LayerCase::at(std::int64_t other_size) const {
  LayerCase other = *this;
  other.size = other_size;
  return other;
}

std::string LayerCase::text() const {
  std::string text = fmt::format("conv{}d:{},{},k{},p{}@{}x{}", rank, in, out, kernel, padding, batch, in);
  for (int axis = 0; axis < rank; ++axis) text += fmt::format("x{}", size);
  return text;
}

std::string LayerCase::title(const Device& device) const {
  const bool last = device.backend().decisions().conv_layout(dtype, policy) == ConvLayout::channels_last;
  return fmt::format("conv{}d {}->{} k{} p{}, batch {}, {} {}", rank, in, out, kernel, padding, batch,
                     mnemo::name(dtype), last ? "channels-last" : "contiguous");
}

std::string LayerCase::size_text() const { return fmt::format("{}^{}", size, rank); }

std::int64_t LayerFormula::weight_values() const { return case_.out * case_.in * power(case_.kernel, case_.rank); }
Bytes LayerFormula::input() const { return bytes(case_.batch * case_.in * power(case_.size, case_.rank)); }
Bytes LayerFormula::output() const { return bytes(case_.batch * case_.out * power(output_edge(), case_.rank)); }

ConvPlan LayerFormula::plan(ConvPass pass) const {
  ConvProblem problem;
  problem.batch = case_.batch;
  problem.in_channels = case_.in;
  problem.out_channels = case_.out;
  problem.in = trailing(case_.size, 1, case_.rank);
  problem.kernel = trailing(case_.kernel, 1, case_.rank);
  problem.out = trailing(output_edge(), 1, case_.rank);
  problem.padding = trailing(case_.padding, 0, case_.rank);
  problem.dtype = case_.dtype;
  problem.spatial_rank = case_.rank;
  return device_.backend().decisions().conv(problem, pass, case_.policy);
}

Bytes LayerFormula::reserved() const {
  return segment_bytes({weight(), bias(), input(), output(), workspace(ConvPass::forward)});
}

Moment LayerFormula::step_peak() const {
  const Bytes number = block_bytes(1), gradient = output();
  const Bytes forward = parameters() + input() + output();
  const Bytes backward =
      forward + number + gradient;  // with the loss; the gradient of the squares has the output's size
  // Parameters and data are made row-major: with the channels innermost a convolution works on copies of them, and the
  // weight's gradient is copied back for the update.
  const bool copies = device_.backend().decisions().conv_layout(case_.dtype, case_.policy) == ConvLayout::channels_last;
  const Bytes input_copy = copies ? input() : 0, weight_copy = copies ? weight() : 0;
  const Bytes forward_space = workspace(ConvPass::forward), weight_space = workspace(ConvPass::weight_gradient);
  return highest({{"the batch is there, the gradients of the step before still are", 2 * parameters() + input(), 0},
                  {"forward", forward + input_copy + weight_copy + forward_space, forward_space},
                  {"backward of the loss", backward + number, 0},
                  {"weight gradient", backward + input_copy + weight() + weight_space, weight_space},
                  {"end of backward", backward + parameters(), 0},
                  {"update", forward + number + parameters() + weight_copy, 0}});
}

LayerMeasurement measure(const LayerCase& layer, const std::string& device_name) {
  const models::Spec spec = models::layer_spec(layer.text());
  const ConvPolicyScope policy(layer.policy);
  manual_seed(0);
  LayerMeasurement measured;
  {
    const Device device = open_device(device_name, {});
    const DeviceScope scope(device);
    const auto model = spec.make();
    const models::Batch batch = models::random_batch(spec, layer.batch, layer.size);
    device.allocator().reset_peak();
    const Tensor output = model->forward(batch.input);
    const memory::CategoryBytes held = device.allocator().categories();
    measured.output_edge = output.size(-1);
    measured.weight_values = model->parameters().front().numel();
    measured.parameters = held_as(held, Category::parameter);
    measured.input = held_as(held, Category::input);
    measured.output = held_as(held, Category::live_activation);
    measured.workspace = held_as(device.allocator().peak().categories, Category::workspace);
    measured.reserved = device.allocator().reserved();
  }
  measured.step_peak = measure_step(layer, device_name, {}).allocated;
  return measured;
}

memory::Peak measure_step(const LayerCase& layer, const std::string& device, const memory::AllocatorConfig& config) {
  const models::Spec spec = models::layer_spec(layer.text());
  const ConvPolicyScope policy(layer.policy);
  const DeviceScope scope(open_device(device, config));
  manual_seed(0);
  training::Trainer trainer(spec, training::Rule::sgd, layer.dtype);
  trainer.step(layer.batch, layer.size);
  return trainer.step(layer.batch, layer.size).peak;
}

Bytes measure_workspace(const LayerCase& layer, ConvPass pass, const std::string& device_name) {
  const ConvPolicyScope policy(layer.policy);
  const Device device = open_device(device_name, exact_blocks());
  const Array x(shape_of(layer.batch, layer.in, layer.size, layer.rank), layer.dtype, device);
  const Array w(shape_of(layer.out, layer.in, layer.kernel, layer.rank), layer.dtype, device);
  const ConvProblem problem = conv_problem("conv", x, w, {}, layer.rank, {.padding = layer.padding});
  const std::int64_t edge = layer.size + 2 * layer.padding - layer.kernel + 1;
  const Array y(shape_of(layer.batch, layer.out, edge, layer.rank), layer.dtype, device);
  device.allocator().reset_peak();
  if (pass == ConvPass::forward) conv(problem, x, w, {});
  if (pass == ConvPass::data_gradient) conv_data_gradient(problem, y, w);
  if (pass == ConvPass::weight_gradient) conv_weight_gradient(problem, x, y);
  // The workspace is allocated last, and the device holds most with it.
  return held_as(device.allocator().peak().categories, Category::workspace);
}

}  // namespace mnemo::labs
