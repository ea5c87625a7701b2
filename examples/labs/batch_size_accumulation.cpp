// Claim E5: the gradients of four batches of 16 added up, against those of one batch of 64.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "labs/batch_size.h"
#include "labs/layer.h"
#include "labs/simple_conv.h"
#include "models/classifiers.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

constexpr std::int64_t kBatch = 64, kPart = 16, kParts = kBatch / kPart, kEdge = 28, kClasses = 10;

Bytes step_peak(std::int64_t batch, std::int64_t accumulate, const std::string& device) {
  const DeviceScope scope(open_device(device, exact_blocks()));
  manual_seed(0);
  training::Trainer trainer(*models::find_spec("simple-conv"),
                            {.rule = training::Rule::adam, .accumulate = accumulate});
  trainer.step(batch, kEdge);
  return trainer.step(batch, kEdge).peak.allocated;
}

/// A model like that with a normalization by the batch's own mean and variance.
std::unique_ptr<models::Model> normalized_model() {
  return models::as_model(nn::Sequential(nn::Conv2d({.in = 3, .out = 8, .kernel = 3}), nn::BatchNorm2d({.channels = 8}),
                                         nn::ReLU(), nn::MaxPool2d({.kernel = 2}), nn::Flatten(),
                                         nn::Linear({.in = 8 * 13 * 13, .out = kClasses})));
}

/// All gradients and all buffers of a model, one after the other.
struct Trained {
  std::vector<float> gradients, buffers;
};

Trained train(models::Model& model, std::int64_t part) {
  manual_seed(1);
  const Tensor images = randn({kBatch, 3, kEdge, kEdge}), classes = randint(0, kClasses, {kBatch});
  for (std::int64_t begin = 0; begin < kBatch; begin += part) {
    const Tensor output = model.forward(slice(images, 0, begin, begin + part));
    const Tensor loss = cross_entropy(output, slice(classes, 0, begin, begin + part));
    (loss * (static_cast<double>(part) / kBatch)).backward();
  }
  Trained trained;
  const auto append = [](std::vector<float>& list, const Tensor& tensor) {
    const std::vector<float> values = tensor.values<float>();
    list.insert(list.end(), values.begin(), values.end());
  };
  for (const Tensor& parameter : model.parameters()) append(trained.gradients, parameter.grad());
  for (const nn::NamedTensor& buffer : model.named_buffers()) append(trained.buffers, buffer.tensor);
  return trained;
}

/// The largest difference, in billionths of the largest value; 0 of nothing.
std::int64_t billionths(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest > 0 ? std::llround(1e9 * difference / largest) : 0;
}

struct Difference {
  std::int64_t gradients = 0, buffers = 0;
};

/// What the parts make different. Numbers are needed, so it is computed on the CPU.
template <class Make>
Difference difference(const Make& make) {
  const DeviceScope scope(open_device("cpu"));
  Trained trained[2];
  for (const bool in_parts : {false, true}) {
    manual_seed(0);
    trained[in_parts ? 1 : 0] = train(*make(), in_parts ? kPart : kBatch);
  }
  return {billionths(trained[0].gradients, trained[1].gradients), billionths(trained[0].buffers, trained[1].buffers)};
}

}  // namespace

Row accumulation_row(const std::string& name) {
  const Device device = open_device(name);
  const SimpleConvFormula at_large(device, kBatch), at_part(device, kPart);
  const Bytes large = step_peak(kBatch, 1, name), added = step_peak(kPart, kParts, name),
              part = step_peak(kPart, 1, name);
  const Difference plain = difference([] { return models::as_model(models::SimpleConv()); }),
                   normalized = difference(normalized_model);
  Row row{.claim = "E5",
          .statement = "Gradient accumulation simulates a large batch without its memory.",
          .figures = {{"peak of a step, batch 64", at_large.step_peak(), large},
                      {"peak of a step, gradients of 4 x 16 added up", at_part.step_peak(true), added},
                      {"peak of a step, batch 16", at_part.step_peak(), part}},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const auto figure = [&](const char* what, std::int64_t value) {
    row.figures.push_back({fmt::format("{}, 4 x 16 against 64 (billionths, cpu)", what), std::nullopt, value});
  };
  figure("largest difference of a gradient", plain.gradients);
  figure("largest difference of a gradient, batch normalization", normalized.gradients);
  figure("largest difference of its running statistics", normalized.buffers);
  constexpr std::int64_t kRounding = 100'000;  // float32 has 24 bits: 60 billionths for each of many additions
  const bool spares = 2 * added < large;
  const bool same = plain.gradients <= kRounding;
  const bool same_normalized = normalized.gradients <= kRounding && normalized.buffers <= kRounding;
  row.verdict = !spares || !same ? Verdict::fails : same_normalized ? Verdict::holds : Verdict::depends;
  row.because = fmt::format(
      "on the layers: its peak is {} of that of batch 64, and {} more than that of batch 16. Without normalization the "
      "gradients are {}; with batch normalization they are off by {:.1f} % of the largest one, its running statistics "
      "by {:.1f} %",
      times(added, large), format_bytes(added - part), same ? "the same up to rounding" : "not the same",
      static_cast<double>(normalized.gradients) / 1e7, static_cast<double>(normalized.buffers) / 1e7);
  row.mechanism =
      "activations are those of the batch that is under way. The gradients of all parameters stay between the batches, "
      "and each new one is added to the one that is there. The mean of four means is the mean; but batch normalization "
      "takes mean and variance of 16 images instead of 64, and moves its running statistics four times";
  return row;
}

}  // namespace mnemo::labs
