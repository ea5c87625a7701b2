// The lab of checkpoints: for each model with stages, a training step without them, with sqrt(n) equal segments, and
// with the plan that has the fewest activations for at most 16 % more operations.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/row.h"
#include "models/conv_passes.h"
#include "training/checkpointing.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;
using training::CheckpointRequest;
using training::CheckpointStudy;
using training::DryRun;

constexpr double kGoal = 3;

/// Below this no schedule comes: the convolution that needs most beside the batch, with its input and its output.
Bytes one_convolution(const models::Spec& spec) {
  Bytes most = 0;
  const auto passes = models::conv_passes(spec, DType::float32, spec.batch, spec.size);
  for (std::size_t i = 1; i < passes.size(); ++i) {  // the first one's input is the batch
    const ConvProblem& p = passes[i].problem;
    const auto values = [&](std::int64_t channels, const Size3& sizes) {
      return p.batch * channels * sizes[0] * sizes[1] * sizes[2];
    };
    if (passes[i].pass == ConvPass::forward)
      most = std::max(most, block_bytes(values(p.in_channels, p.in)) + block_bytes(values(p.out_channels, p.out)));
  }
  return most;
}

/// The one with the fewest activations among those for at most so many more operations.
const DryRun& leanest(const std::vector<DryRun>& runs, const DryRun& plain, double extra) {
  const DryRun* best = &plain;
  for (const DryRun& run : runs) {
    if (run.extra(plain) <= extra && run.activations < best->activations) best = &run;
  }
  return *best;
}

double ratio(const DryRun& plain, const DryRun& run) {
  return static_cast<double>(plain.activations) / static_cast<double>(run.activations);
}

Row row_of(const char* claim, const models::Spec& spec, const std::string& device_name) {
  const CheckpointStudy study(
      {.spec = spec, .batch = spec.batch, .size = spec.size, .device = Device::open(shape_only(device_name), {})});
  const DryRun& plain = study.plain();
  const DryRun root = study.square_root();
  const std::vector<DryRun> runs = study.candidates();
  const DryRun& planned = leanest(runs, plain, CheckpointRequest::kUsualExtra);
  const DryRun& least = leanest(runs, plain, 1e9);
  const Bytes floor = one_convolution(spec);
  Row row{.claim = claim,
          .statement = fmt::format("{} trains with a third of the activations for at most {:.0f} % more operations.",
                                   spec.name, 100 * CheckpointRequest::kUsualExtra)};
  const auto add = [&](const char* what, const DryRun& run) {
    row.figures.push_back({fmt::format("{}: peak allocated", what), {}, run.peak});
    row.figures.push_back({fmt::format("{}: activations at most", what), {}, run.activations});
    // The planner counted them stage by stage; the step counts as it goes.
    const std::int64_t counted = run.operations - plain.operations;
    const std::int64_t expected = run.plan ? study.planner().expect(*run.plan).extra_work : 0;
    row.figures.push_back({fmt::format("{}: extra operations (not bytes)", what), expected, counted});
  };
  row.figures.push_back({"operations of a step without checkpoints (not bytes)", {}, plain.operations});
  add("without", plain);
  add("sqrt(n) segments", root);
  add("planned", planned);
  add("least", least);
  row.figures.push_back({"one convolution's input and output", {}, floor});
  row.verdict = ratio(plain, planned) >= kGoal ? Verdict::holds : Verdict::fails;
  row.because = fmt::format(
      "x{:.2f} less for {:.1f} % more operations by plan {}; sqrt(n) segments: x{:.2f} for {:.1f} %; the least of all: "
      "x{:.2f} for {:.1f} %; no schedule can pass x{:.2f}, where one convolution holds its input and output",
      ratio(plain, planned), 100 * planned.extra(plain), planned.plan ? planned.plan->text() : "none",
      ratio(plain, root), 100 * root.extra(plain), ratio(plain, least), 100 * least.extra(plain),
      static_cast<double>(plain.activations) / static_cast<double>(floor));
  row.mechanism = fmt::format(
      "{} stages; a checkpointed part keeps its input and computes what its layers save once more in backward, so what "
      "is "
      "left is the boundaries and one part at a time.",
      study.stages());
  return row;
}

}  // namespace

std::vector<Row> checkpoint_lab(const std::string& device) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kModels{
      {{"C1", "vgg16"}, {"C2", "resnet18"}, {"C3", "resnet50"}, {"C4", "unet3d"}}};
  std::vector<Row> rows;
  for (const auto& [claim, model] : kModels) rows.push_back(row_of(claim, *models::find_spec(model), device));
  return rows;
}

}  // namespace mnemo::labs
