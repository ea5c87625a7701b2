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
using training::CheckpointTrial;

constexpr double kGoal = 3;

/// One model, and an operation of it that is no convolution: the values of its operands and its result together.
struct Subject {
  const char* claim;
  const char* model;
  std::int64_t values, pixels;  ///< so many values for so many pixels or voxels of the input
};
constexpr std::array<Subject, 4> kSubjects{{
    {"K1", "vgg16", 2 * 64, 1},         // the first two ReLUs
    {"K2", "resnet18", 2 * 64, 4},      // the first ReLU, at half the resolution
    {"K3", "resnet50", 2 * 64, 4},      // the same
    {"K4", "unet3d", 16 + 32 + 48, 1},  // joining the first skip with what comes from below
}};

/// Below this no schedule comes: the operation that needs most, with its operands (but not the batch) and its result.
Bytes one_operation(const models::Spec& spec, const Subject& subject) {
  const std::int64_t pixels = spec.input_shape(spec.batch, spec.size).numel() / spec.channels;
  Bytes most = 4 * subject.values * pixels / subject.pixels;
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
const CheckpointTrial& leanest(const std::vector<CheckpointTrial>& runs, const CheckpointTrial& plain, double extra) {
  const CheckpointTrial* best = &plain;
  for (const CheckpointTrial& run : runs) {
    if (run.extra(plain) <= extra && run.activations < best->activations) best = &run;
  }
  return *best;
}

double ratio(const CheckpointTrial& plain, const CheckpointTrial& run) {
  return static_cast<double>(plain.activations) / static_cast<double>(run.activations);
}

Row row_of(const Subject& subject, const std::string& device_name) {
  const models::Spec& spec = *models::find_spec(subject.model);
  const CheckpointStudy study(
      {.spec = spec, .batch = spec.batch, .size = spec.size, .device = open_device(shape_only(device_name), {})});
  const CheckpointTrial& plain = study.plain();
  const CheckpointTrial root = study.square_root();
  const std::vector<CheckpointTrial> runs = study.candidates();
  const CheckpointTrial& planned = leanest(runs, plain, CheckpointRequest::kUsualExtra);
  const CheckpointTrial& least = leanest(runs, plain, 1e9);
  const Bytes floor = one_operation(spec, subject);
  Row row;
  row.claim = subject.claim;
  row.statement = fmt::format("{} trains with a third of the activations for at most {:.0f} % more operations.",
                              spec.name, 100 * CheckpointRequest::kUsualExtra);
  const auto add = [&](const char* what, const CheckpointTrial& run) {
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
  row.figures.push_back({"one operation's operands and result", {}, floor});
  row.verdict = ratio(plain, planned) >= kGoal ? Verdict::holds : Verdict::fails;
  row.because = fmt::format(
      "x{:.2f} less for {:.1f} % more operations by plan {}; sqrt(n) segments: x{:.2f} for {:.1f} %; the least of all: "
      "x{:.2f} for {:.1f} %; no schedule can pass x{:.2f}, with what one operation reads and writes",
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
  std::vector<Row> rows;
  for (const Subject& subject : kSubjects) rows.push_back(row_of(subject, device));
  return rows;
}

}  // namespace mnemo::labs
