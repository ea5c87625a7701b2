// Claim B5, checkpoints: a chain of equal layers, cut into more and more segments.
#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/network_size.h"
#include "training/checkpointing.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

constexpr std::int64_t kLayers = 64, kWidth = 256, kBatch = 1024;

/// Linear and ReLU, as one stage: the activation behind the relu is all that it saves.
struct Layer : nn::Module<Layer> {
  nn::Linear linear{{.in = kWidth, .out = kWidth}};

  Tensor forward(const Tensor& x) { return relu(linear(x)); }
  void visit(nn::Visitor& v) { v.child("linear", linear); }
};

models::Spec chain_spec() {
  models::Spec spec{.name = "chain", .description = "equal layers", .batch = kBatch, .size = kWidth};
  spec.spatial_rank = 1;
  spec.make = [] {
    nn::Sequential chain;
    for (int i = 0; i < kLayers; ++i) chain.add(Layer());
    return models::as_model(std::move(chain));
  };
  return spec;
}

}  // namespace

Row checkpointed_chain_row(const std::string& device_name) {
  Row row{.claim = "B5a",
          .statement = "Gradient checkpointing needs less memory for more computation.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const training::CheckpointStudy study(
      {.spec = chain_spec(), .batch = kBatch, .size = kWidth, .device = open_device(shape_only(device_name), {})});
  const Bytes activation = block_bytes(kBatch * kWidth);
  // Of a layer's forward pass, as core/work.h counts: the product, which adds the bias, then relu element by element.
  const std::int64_t operations = 2 * kBatch * kWidth * kWidth + kBatch * kWidth;
  const training::CheckpointTrial& plain = study.plain();
  row.figures.push_back({"operations of a step without checkpoints (not bytes)", {}, plain.operations});
  training::CheckpointTrial least = plain, finest = plain;
  std::int64_t least_segments = 1;
  for (std::int64_t segments = 1; segments <= kLayers; segments *= 2) {
    const std::int64_t length = kLayers / segments;
    finest = study.run(even_segments(kLayers, static_cast<std::size_t>(segments)));
    const auto of = [segments](const char* what) { return fmt::format("{}, segments: {}", what, segments); };
    row.figures.push_back(
        {of("activations at most"), (segments + length) * activation + block_bytes(1), finest.activations});
    row.figures.push_back(
        {of("extra operations (not bytes)"), (kLayers - length) * operations, finest.operations - plain.operations});
    if (finest.activations >= least.activations) continue;
    least = finest;
    least_segments = segments;
  }
  const bool spares = least.activations < plain.activations;
  const bool costs = least.operations > plain.operations;
  row.verdict = !spares ? Verdict::fails : costs ? Verdict::holds : Verdict::depends;
  row.because = fmt::format(
      "{} activations of {} layers become {} with {} segments, {} less, for {:.1f} % more operations; with a segment "
      "for each layer they are {} for {:.1f} %",
      format_bytes(plain.activations), kLayers, format_bytes(least.activations), least_segments,
      times(plain.activations, least.activations), 100 * least.extra(plain), format_bytes(finest.activations),
      100 * finest.extra(plain));
  row.mechanism =
      "s segments of n / s layers keep s inputs, and while backward is in one of them its n / s activations: s + n / s "
      "is least at s = sqrt(n). All segments but the last are run once more, (n - n / s) layers";
  return row;
}

}  // namespace mnemo::labs
