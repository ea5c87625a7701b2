// Claim D5: SimpleConv as it is, with half of its weights masked, and with half of its channels.
#include <cmath>

#include <fmt/format.h>

#include "labs/initialization.h"
#include "labs/layer.h"
#include "labs/simple_conv.h"
#include "labs/training_bytes.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;

constexpr std::int64_t kBatch = 64;

/// SimpleConv of some width whose weights can have masks: buffers of their size, 0 where a weight is pruned.
struct PrunedConv : nn::Module<PrunedConv> {
  nn::Conv2d conv1, conv2;
  nn::Linear fc;
  Tensor conv1_mask, conv2_mask, fc_mask;  ///< undefined: no mask

  PrunedConv(std::int64_t width, bool masked)
      : conv1({.in = 3, .out = width, .kernel = 3}),
        conv2({.in = width, .out = 2 * width, .kernel = 3}),
        fc({.in = 2 * width * 5 * 5, .out = 10}) {
    if (!masked) return;
    conv1_mask = mask_of(conv1.weight);
    conv2_mask = mask_of(conv2.weight);
    fc_mask = mask_of(fc.weight);
  }

  Tensor forward(const Tensor& x) {
    const Tensor a = relu(conv2d(x, left(conv1.weight, conv1_mask), conv1.bias));
    const Tensor b = max_pool2d(a, {.kernel = 2});
    const Tensor c = relu(conv2d(b, left(conv2.weight, conv2_mask), conv2.bias));
    const Tensor d = max_pool2d(c, {.kernel = 2});
    return linear(flatten(d), left(fc.weight, fc_mask), fc.bias);
  }
  void visit(nn::Visitor& v) {
    v.child("conv1", conv1), v.child("conv2", conv2), v.child("fc", fc);
    v.buffer("conv1_mask", conv1_mask), v.buffer("conv2_mask", conv2_mask), v.buffer("fc_mask", fc_mask);
  }

 private:
  /// 1 for the half of the weights that are farther from 0: they were drawn evenly up to 1 / sqrt(inputs).
  static Tensor mask_of(const Tensor& weight) {
    const GradModeScope recording(false);
    Tensor mask = zeros(weight.shape());
    const double bound = 1 / std::sqrt(static_cast<double>(weight.numel() / weight.size(0)));
    return copy_(mask, greater_equal(abs(weight), bound / 2));
  }
  static Tensor left(const Tensor& weight, const Tensor& mask) { return mask.defined() ? weight * mask : weight; }
};

struct Measured {
  Bytes parameters, masks, state, kept, peak;
};

Measured measure(std::int64_t width, bool masked, const std::string& device) {
  models::Spec spec = *models::find_spec("simple-conv");
  spec.make = [=] { return models::as_model(PrunedConv(width, masked)); };
  const TrainingBytes step = measure_training(spec, {.rule = training::Rule::adam}, kBatch, device);
  return {held_as(step.after, Category::parameter), held_as(step.after, Category::other),
          held_as(step.after, Category::gradient) + held_as(step.after, Category::optimizer_state),
          held_as(step.forward, Category::saved_activation), step.peak.allocated};
}

/// How many of a thousand weights the masks leave out, on the CPU.
std::int64_t masked_share() {
  const DeviceScope here(open_device("cpu", {}));
  manual_seed(0);
  const PrunedConv net(32, true);
  double left = 0, all = 0;
  for (const Tensor& mask : {net.conv1_mask, net.conv2_mask, net.fc_mask}) {
    left += sum(mask).item();
    all += static_cast<double>(mask.numel());
  }
  return std::llround(1000 * (1 - left / all));
}

}  // namespace

Row pruning_row(const std::string& device_name) {
  Row row{.claim = "D5",
          .statement = "Pruning a network reduces the memory that it takes.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const Device device = open_device(device_name, {});
  const SimpleConvFormula whole(device, kBatch), narrow(device, kBatch, 28, 16);
  const Bytes masked_later = block_bytes(9 * 32 * 64) + block_bytes(1600 * 10);  // conv2's and fc's weights
  const Bytes masks = block_bytes(27 * 32) + masked_later;
  const auto add = [&](const char* name, const Measured& now, const SimpleConvFormula& formula, Bytes mask,
                       Bytes products, std::optional<Bytes> peak) {
    const auto of = [name](const char* what) { return fmt::format("{}, {}", what, name); };
    row.figures.push_back({of("parameters"), formula.parameters(), now.parameters});
    row.figures.push_back({of("masks"), mask, now.masks});
    row.figures.push_back({of("gradients and Adam's moments"), 3 * formula.parameters(), now.state});
    row.figures.push_back({of("kept by autograd"), formula.kept() + products, now.kept});
    row.figures.push_back({of("peak of a step"), peak, now.peak});
  };
  const Measured dense = measure(32, false, device_name), masked = measure(32, true, device_name);
  const Measured structured = measure(16, false, device_name);
  add("as it is", dense, whole, 0, 0, whole.step_peak());
  add("half of the weights masked", masked, whole, masks, masked_later, {});
  add("half of the channels", structured, narrow, 0, 0, narrow.step_peak());
  row.figures.push_back({"weights masked, of a thousand (not bytes, on cpu)", {}, masked_share()});

  const auto at_rest = [](const Measured& one) { return one.parameters + one.masks; };
  const auto less = [&](const Measured& one) { return at_rest(one) < at_rest(dense) && one.peak < dense.peak; };
  row.verdict = less(masked) && less(structured)   ? Verdict::holds
                : less(masked) || less(structured) ? Verdict::depends
                                                   : Verdict::fails;
  row.because =
      depending(row.verdict, "on what is pruned") +
      fmt::format(
          "with masks the model takes {} of what it took, and a training step {}; with half of the channels {} and {}",
          times(at_rest(masked), at_rest(dense)), times(masked.peak, dense.peak),
          times(at_rest(structured), at_rest(dense)), times(structured.peak, dense.peak));
  row.mechanism =
      "a zero takes as many bytes as any other value. A mask is a buffer as large as its weight, and backward needs "
      "the masked weight, a third tensor of that size; multiplied into the weight for good the mask can go, and the "
      "weight is as large as before. A channel that is gone takes its filter, its activation, and its part of each "
      "filter of the next layer with it";
  return row;
}

}  // namespace mnemo::labs
