// Claim E4: how the batch size shows in a perceptron, a convolutional network, an LSTM and a transformer.
#include <functional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "labs/batch_size.h"
#include "labs/layer.h"
#include "labs/simple_conv.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;
using training::StepReport;

constexpr std::int64_t kLarge = 64, kSmall = 8;

/// So many arrays of so many float32 values for each sample.
struct Arrays {
  std::int64_t count, values;
};
using Layers = std::vector<Arrays>;

Bytes block_bytes_of(const Layers& layers, std::int64_t batch) {
  Bytes bytes = 0;
  for (const Arrays& arrays : layers) bytes += arrays.count * block_bytes(arrays.values * batch);
  return bytes;
}

Layers perceptron() { return {{2, 512}}; }

/// Of each place of either layer the four gates, c, that of the last place by itself, and h. Besides the sequences that
/// the first one was given, row-major, and the h that the head takes.
Layers lstm(std::int64_t places) {
  return {{2, places * 4 * 128}, {2, (places - 1) * 128}, {2, 128}, {2, places * 128}, {1, places * 64}, {1, 128}};
}

/// Of each of four blocks, in arrays of 128 values for each place: what is normalized and the result, for each half;
/// queries, keys, values, what the heads found; in four times the width what gelu was given and what it made. Two
/// numbers per place for each of nine normalizations. Besides the input row-major, the last sum, the mean.
Layers transformer(std::int64_t places) {
  return {{4 * 8 + 1, places * 128}, {4 * 2, places * 512}, {9 * 2, places}, {1, places * 64}, {1, 128}};
}

struct Subject {
  const char* model;
  /// By formula from the layers' shapes (examples/models): what autograd keeps.
  std::function<Bytes(std::int64_t batch)> kept;
};

std::vector<Subject> subjects(const std::string& device) {
  const auto by_layers = [](const char* model, Layers (*layers)(std::int64_t)) {
    const std::int64_t size = models::find_spec(model)->size;
    return Subject{model, [=](std::int64_t batch) { return block_bytes_of(layers(size), batch); }};
  };
  return {{"mlp", [](std::int64_t batch) { return block_bytes_of(perceptron(), batch); }},
          {"simple-conv",
           [device](std::int64_t batch) {
             const Device opened = open_device(device);
             return SimpleConvFormula(opened, batch).kept();
           }},
          by_layers("lstm", lstm),
          by_layers("transformer", transformer)};
}

/// A process that trains with Adam, at one batch size after another; the report of the second step of the last one.
StepReport train(const models::Spec& spec, const std::vector<std::int64_t>& batches, const std::string& device,
                 const memory::AllocatorConfig& config) {
  const DeviceScope scope(open_device(device, config));
  manual_seed(0);
  training::Trainer trainer(spec, training::Rule::adam);
  StepReport report;
  for (const std::int64_t batch : batches) trainer.step(batch, spec.size), report = trainer.step(batch, spec.size);
  return report;
}

struct Measured {
  Bytes kept[2], fixed;
  Bytes peak, reserved, reserved_after;  ///< of the small batch: alone, and in one process after the large one

  Bytes per_sample() const { return (kept[1] - kept[0]) / (kLarge - kSmall); }
};

Measured measure(const models::Spec& spec, const std::string& device) {
  const StepReport exact[2] = {train(spec, {kSmall}, device, exact_blocks()),
                               train(spec, {kLarge}, device, exact_blocks())};
  const StepReport alone = train(spec, {kSmall}, device, {});
  return {.kept = {exact[0].after_forward - exact[0].before_forward, exact[1].after_forward - exact[1].before_forward},
          .fixed = exact[1].allocated,
          .peak = alone.peak.allocated,
          .reserved = alone.reserved,
          .reserved_after = train(spec, {kLarge, kSmall}, device, {}).reserved};
}

/// Parameters, gradients and Adam's two moments.
Bytes fixed_bytes(const models::Spec& spec) {
  const DeviceScope scope(Device::open("virtual:cpu"));
  Bytes bytes = 0;
  for (const Tensor& parameter : spec.make()->parameters()) bytes += 4 * block_bytes(parameter.numel());
  return bytes;
}

}  // namespace

Row models_row(const std::string& name) {
  const std::string device = shape_only(name);
  Row row{.claim = "E4",
          .statement = "Transformers and recurrent networks suffer more from the batch size than a perceptron.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  std::vector<Measured> all;
  std::string texts;
  for (const Subject& subject : subjects(device)) {
    const models::Spec& spec = *models::find_spec(subject.model);
    const Measured& m = all.emplace_back(measure(spec, device));
    const auto add = [&](const std::string& what, std::optional<Bytes> predicted, Bytes measured) {
      row.figures.push_back({fmt::format("{}: {}", subject.model, what), predicted, measured});
    };
    const auto left = [&](std::int64_t batch) {
      return subject.kept(batch) + block_bytes(10 * batch);
    };  // and the output
    add("left by the forward pass, batch 8", left(kSmall), m.kept[0]);
    add("left by the forward pass, batch 64", left(kLarge), m.kept[1]);
    add("allocated after the step, whatever the batch", fixed_bytes(spec), m.fixed);
    add("peak allocated, batch 8", std::nullopt, m.peak);
    add("reserved, batch 8 in a fresh process", std::nullopt, m.reserved);
    add("reserved, batch 8 after 64 in one process", std::nullopt, m.reserved_after);
    texts += fmt::format(
        "{}{}: {} per sample, which are the fixed part's bytes at a batch of {}; at batch 8 after 64, "
        "reserved is {} of the peak",
        texts.empty() ? "" : "; ", subject.model, format_bytes(m.per_sample()),
        (m.fixed + m.per_sample() - 1) / m.per_sample(), times(m.reserved_after, m.peak));
  }
  // More than a perceptron's: activations for what is fixed, and reserved for what is needed.
  const auto suffers = [&](const Measured& m) {
    const Measured& least = all[0];
    return std::pair(m.per_sample() * least.fixed > least.per_sample() * m.fixed,
                     m.reserved_after * least.peak > least.reserved_after * m.peak);
  };
  const auto recurrent = suffers(all[2]), attending = suffers(all[3]);
  const bool every = recurrent.first && recurrent.second && attending.first && attending.second;
  const bool none = !recurrent.first && !recurrent.second && !attending.first && !attending.second;
  row.verdict = every ? Verdict::holds : none ? Verdict::fails : Verdict::depends;
  row.because = texts;
  row.mechanism =
      "every layer's result is kept, for every place of a sequence, while the parameters are the same at all places: "
      "an "
      "LSTM keeps six arrays per place, a block of attention sixteen. A perceptron has its memory in parameters, "
      "gradients and moments, which no batch changes. What stays reserved after a large batch is what that one needed: "
      "the larger the part of activations is, the more. It is the ratio of both that counts, not recurrence or "
      "attention: a convolutional network has the same";
  return row;
}

}  // namespace mnemo::labs
