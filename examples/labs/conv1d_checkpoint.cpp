// Claim C3: checkpoints around one Conv1d, and around the parts of a chain.
#include <utility>

#include <fmt/format.h>

#include "labs/conv1d.h"
#include "labs/recorded_devices.h"
#include "training/checkpointing.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;
using training::CheckpointStudy;
using training::CheckpointTrial;

constexpr std::int64_t kLength = 512;

struct CheckpointedConv1d : nn::Module<CheckpointedConv1d> {
  nn::Conv1d conv{{.in = 128, .out = 64, .kernel = 3}};

  Tensor forward(const Tensor& x) {
    return checkpoint([this](const Tensor& input) { return conv(input); }, x);
  }
  void visit(nn::Visitor& v) { v.child("conv", conv); }
};

/// kPairs times Conv1d 128 -> 128, kernel 3, padding 1, and a rectifier.
constexpr std::int64_t kPairs = 16, kParts = 4, kBatch = 4;
models::Spec chain_spec() {
  models::Spec spec = sequence_spec<nn::Sequential>("a chain of convolutions and rectifiers", [] {
    nn::Sequential chain;
    for (std::int64_t i = 0; i < kPairs; ++i)
      chain.add(nn::Conv1d({.in = 128, .out = 128, .kernel = 3, .padding = 1})).add(nn::ReLU());
    return chain;
  });
  spec.batch = kBatch;
  spec.size = kLength;
  return spec;
}

CheckpointPlan one_checkpoint(std::size_t stages) {
  return {{{.first = 0, .last = stages, .checkpointed = true, .inside = no_checkpoints(stages).parts}}};
}

Row one_row(const std::string& name) {
  const Device device = open_device(name, {});
  const Conv1dFormula formula(device, kOneConv, 1, kLength);
  const Conv1dMeasurement plain = measure(*models::find_spec("conv1d"), 1, kLength, name),
                          kept = measure(sequence_spec<CheckpointedConv1d>("one convolution in a checkpoint",
                                                                           [] { return CheckpointedConv1d(); }),
                                         1, kLength, name);
  const Bytes after_forward = formula.parameters() + formula.input() + formula.output();
  Row row{.claim = "C3a",
          .statement = "A checkpoint around one Conv1d frees memory during the forward pass.",
          .figures = {{"allocated after the forward pass, without", after_forward, plain.after_forward},
                      {"allocated after the forward pass, with the checkpoint", after_forward, kept.after_forward},
                      {"kept for backward besides the input, without", 0, plain.kept},
                      {"kept for backward besides the input, with the checkpoint", 0, kept.kept},
                      {"peak of a training step, without", formula.step_peak(), plain.step_peak},
                      {"peak of a training step, with the checkpoint", formula.step_peak(), kept.step_peak},
                      {"further operations of the step with the checkpoint (not bytes)", 0,
                       kept.step_operations - plain.step_operations}},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const bool frees = kept.after_forward < plain.after_forward || kept.step_peak < plain.step_peak;
  row.verdict = frees ? Verdict::holds : Verdict::fails;
  row.because =
      fmt::format("after the forward pass {} are allocated without it and {} with it, at the step's peak {} and {}",
                  format_bytes(plain.after_forward), format_bytes(kept.after_forward), format_bytes(plain.step_peak),
                  format_bytes(kept.step_peak));
  row.mechanism =
      "all that a convolution saves for backward is its input (the weight is there anyway), and a checkpoint keeps its "
      "input as well. mnemo stops a recomputation once all that backward needs is there, here before any work; who "
      "does "
      "not stop it convolves once more for nothing";
  return row;
}

Row chain_row(const std::string& name, bool one_frees) {
  const models::Spec spec = chain_spec();
  const CheckpointStudy study(
      {.spec = spec, .batch = spec.batch, .size = spec.size, .device = open_device(shape_only(name), {})});
  const CheckpointTrial& plain = study.plain();
  const CheckpointTrial whole = study.run(one_checkpoint(study.stages())),
                        parts = study.run(even_segments(study.stages(), kParts));
  Row row{.claim = "C3",
          .statement = "Gradient checkpointing dramatically reduces memory, for more computation.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  // Each pair keeps its rectifier's output, each part but the first its input; the loss has the squares, and is a
  // number.
  const Bytes tensor = block_bytes(kBatch * 128 * kLength), loss = tensor + block_bytes(1);
  const auto add = [&](const char* what, const CheckpointTrial& run, std::int64_t tensors) {
    row.figures.push_back({fmt::format("{}: activations at most", what), tensors * tensor + loss, run.activations});
    row.figures.push_back({fmt::format("{}: peak allocated", what), {}, run.peak});
    row.figures.push_back({fmt::format("{}: operations (not bytes)", what),
                           plain.operations + (run.plan ? study.planner().expect(*run.plan).extra_work : 0),
                           run.operations});
  };
  add("16 convolutions and rectifiers", plain, kPairs);
  add("one checkpoint around all", whole, kPairs + 1);  // the first output is there while all is computed again
  add("in 4 parts, checkpoints around the first 3", parts, kParts - 1 + kPairs / kParts);
  const bool chain_frees = plain.activations >= 2 * parts.activations;
  row.verdict = chain_frees == one_frees ? (one_frees ? Verdict::holds : Verdict::fails) : Verdict::depends;
  const auto cost = [&](const CheckpointTrial& run) {
    return fmt::format("{} for {:.1f} % more operations", times(run.activations, plain.activations),
                       100 * run.extra(plain));
  };
  row.because = fmt::format(
      "on what it is around: activations of a chain of 16 convolutions and rectifiers become {} in 4 parts, {} with "
      "one checkpoint around all; one convolution takes {}",
      cost(parts), cost(whole), one_frees ? "less too" : "no less");
  row.mechanism =
      "a checkpointed part keeps its input and computes what its layers save once more in backward: what is left is "
      "one "
      "tensor for each part, and what one part saves. A part of one layer that saves only its input spares nothing, "
      "and a "
      "part that is everything is all there again at once";
  return row;
}

}  // namespace

std::vector<Row> checkpointed_rows(const std::string& name) {
  Row one = one_row(name);
  const bool frees = one.verdict == Verdict::holds;
  return {std::move(one), chain_row(name, frees)};
}

}  // namespace mnemo::labs
