// The batch-size lab: SimpleConv with Adam, at batches of 64, 8, 32 and 4 (claims E1 to E3), one convolution (A2),
// and the rows of batch_size.h.
#include <algorithm>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/batch_size.h"
#include "labs/layer.h"
#include "labs/row.h"
#include "labs/simple_conv.h"
#include "models/classifiers.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;
using training::StepReport;

/// A program that has just begun: a fresh device with SimpleConv on it.
class Program {
 public:
  explicit Program(const std::string& device, const memory::AllocatorConfig& config = {})
      : device_(open_device(device, config)) {
    manual_seed(0);
  }

  /// Two training steps, so that Adam's moments are there; the report of the second one.
  StepReport train(std::int64_t batch, std::int64_t size = 28) {
    trainer_.step(batch, size);
    return trainer_.step(batch, size);
  }
  memory::CachingAllocator& allocator() { return device_.allocator(); }
  const Device& device() const { return device_; }
  SimpleConvFormula formula(std::int64_t batch, std::int64_t size = 28) const { return {device_, batch, size}; }

 private:
  Device device_;
  DeviceScope scope_{device_};
  training::Trainer trainer_{*models::find_spec("simple-conv"), training::Rule::adam};
};

/// What the convolutions and pools make of an image of that size.
std::int64_t measured_features(const std::string& name, std::int64_t size) {
  const DeviceScope scope(open_device(name, {}));
  return models::SimpleConv().features(randn({1, 3, size, size})).size(1);
}

/// Steps of a batch of 64 that a shape error stops; the error's text goes to `text`.
std::int64_t shape_errors(const std::string& device, std::int64_t size, std::string& text) {
  Program program(device);
  try {
    program.train(64, size);
    return 0;
  } catch (const ShapeError& error) {
    text = error.what();
    return 1;
  }
}

Row baseline_row(const std::string& device) {
  Row row{.claim = "E1",
          .statement = "SimpleConv with Linear(64*5*5, 10) trains on images of 32 x 32, batch 64.",
          .figures = {},
          .verdict = Verdict::holds,
          .because = {},
          .mechanism = {}};
  const Program program(device);
  std::string error;
  for (const std::int64_t size : {32, 28}) {
    const std::int64_t features = program.formula(64, size).features();
    row.figures.push_back({fmt::format("values per image before the linear layer, {0} x {0}", size), features,
                           measured_features(device, size)});
    row.figures.push_back({fmt::format("steps stopped by a shape error, {0} x {0}", size),
                           features == 64 * 5 * 5 ? 0 : 1, shape_errors(device, size, error)});
  }
  const bool stops = row.figures[1].measured == 1, smaller_runs = row.figures[3].measured == 0;
  row.verdict = stops ? Verdict::fails : Verdict::holds;
  row.because = stops
                    ? fmt::format("it stops with \"{}\"; at 28 x 28 it {}", error, smaller_runs ? "runs" : "stops too")
                    : "it runs";
  row.mechanism =
      "32 - 2 = 30, pooled 15, - 2 = 13, pooled 6: 64*6*6 = 2304 values for weights made for 64*5*5 = 1600; 28 gives "
      "26, 13, 11, 5";
  return row;
}

/// The peak of a second step in blocks that are no larger than what is asked for makes them: what a formula can say.
/// Cached pieces that are too small to be split add to it otherwise.
Bytes exact_peak(const std::string& device, std::int64_t batch) {
  return Program(device, exact_blocks()).train(batch).peak.allocated;
}

Row smaller_batch_row(const std::string& device) {
  Row row{.claim = "E2",
          .statement = "Batch 8 can use more memory than batch 64.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  StepReport alone[2];
  for (int i = 0; i < 2; ++i) {
    const std::int64_t batch = i == 0 ? 64 : 8;
    Program fresh(device);
    alone[i] = fresh.train(batch);
    const auto of = [batch](const char* what) { return fmt::format("{}, batch {} in a fresh process", what, batch); };
    row.figures.push_back(
        {of("peak in blocks of 512 bytes"), fresh.formula(batch).step_peak(), exact_peak(device, batch)});
    row.figures.push_back({of("peak allocated"), std::nullopt, alone[i].peak.allocated});
    row.figures.push_back({of("allocated after the step"), fresh.formula(batch).after_step(), alone[i].allocated});
    row.figures.push_back({of("reserved"), std::nullopt, alone[i].reserved});
  }
  Program program(device);
  const Bytes reserved_before = program.train(64).reserved;
  const StepReport after = program.train(8);
  row.figures.push_back({"peak allocated, batch 8 after 64 in one process", std::nullopt, after.peak.allocated});
  row.figures.push_back({"reserved, batch 8 after 64 in one process", std::nullopt, after.reserved});
  Program another(device);
  const Bytes larger_reserved = another.train(64).reserved, smaller_reserved = another.train(32).reserved;
  row.figures.push_back({"reserved, batch 32 after 64 in one process", std::nullopt, smaller_reserved});
  const bool alone_takes_more =
      alone[1].peak.allocated > alone[0].peak.allocated || alone[1].reserved > alone[0].reserved;
  const bool stays = after.reserved >= reserved_before;
  const bool history_takes_more = after.reserved > alone[1].reserved || smaller_reserved > larger_reserved;
  row.verdict = alone_takes_more ? Verdict::holds : history_takes_more ? Verdict::depends : Verdict::fails;
  row.because = fmt::format(
      "on what is read: in a fresh process batch 8 allocates {} of 64's peak; in one process after 64, reserved {}",
      times(alone[1].peak.allocated, alone[0].peak.allocated),
      stays ? fmt::format("{} {}, {} of what batch 8 alone takes",
                          after.reserved > reserved_before ? "even rises to" : "stays at", format_bytes(after.reserved),
                          times(after.reserved, alone[1].reserved))
            : "falls as well");
  if (smaller_reserved > larger_reserved) {
    row.because += fmt::format(", and batch 32 after 64 even raises it from {} to {}", format_bytes(larger_reserved),
                               format_bytes(smaller_reserved));
  }
  row.mechanism =
      "allocated follows the batch at once; freed blocks stay cached in their segments, and reserved counts those "
      "until empty_cache. Tensors of other sizes may fit none of the cached pieces and need a new segment. What is "
      "left after a step is parameters, gradients and Adam's moments: 4 x the parameters";
  return row;
}

/// Bytes of the segments that hold a block now: those that empty_cache cannot give back.
Bytes held_segments(memory::CachingAllocator& allocator) {
  Bytes bytes = 0;
  for (const memory::SegmentView& segment : allocator.snapshot()) {
    const bool held = std::any_of(segment.blocks.begin(), segment.blocks.end(), [](const memory::BlockView& block) {
      return block.state != memory::BlockView::State::inactive;
    });
    if (held) bytes += segment.size;
  }
  return bytes;
}

Row changing_batch_row(const std::string& device) {
  Row row{
      .claim = "E3",
      .statement = "With batches 64, 8, 32, 4 and empty_cache between, memory does not return to its original level.",
      .figures = {},
      .verdict = Verdict::depends,
      .because = {},
      .mechanism = {}};
  Program program(device);
  std::vector<StepReport> steps;
  std::vector<Bytes> emptied;
  for (const std::int64_t batch : {64, 8, 32, 4}) {
    steps.push_back(program.train(batch));
    const Bytes held = held_segments(program.allocator());
    program.allocator().empty_cache();
    emptied.push_back(program.allocator().reserved());
    const auto of = [batch](const char* what) { return fmt::format("{}, batch {}", what, batch); };
    row.figures.push_back(
        {of("peak in blocks of 512 bytes"), program.formula(batch).step_peak(), exact_peak(device, batch)});
    row.figures.push_back({of("peak allocated"), std::nullopt, steps.back().peak.allocated});
    row.figures.push_back(
        {of("allocated after the step"), program.formula(batch).after_step(), steps.back().allocated});
    row.figures.push_back({of("reserved after the step"), std::nullopt, steps.back().reserved});
    row.figures.push_back({of("reserved after empty_cache"), held, emptied.back()});
  }
  const bool same = std::all_of(steps.begin(), steps.end(),
                                [&](const StepReport& step) { return step.allocated == steps[0].allocated; });
  const bool same_emptied =
      std::all_of(emptied.begin(), emptied.end(), [&](Bytes bytes) { return bytes == emptied[0]; });
  row.verdict = same && same_emptied ? Verdict::fails : Verdict::depends;
  row.because = fmt::format(
      "allocated after every step is {}; reserved after empty_cache is {}; before it, batch 32 has reserved {} and 64 "
      "{}",
      same ? "the same " + format_bytes(steps[0].allocated) : "not the same",
      same_emptied ? "the same " + format_bytes(emptied[0]) : "not the same", format_bytes(steps[2].reserved),
      format_bytes(steps[0].reserved));
  row.mechanism =
      "what outlives a step does not depend on the batch; empty_cache gives back every segment in which no block "
      "lives, and the next step takes the segments that its own sizes need";
  return row;
}

}  // namespace

std::vector<Row> batch_size_lab(const std::string& device) {
  return {baseline_row(device),     smaller_batch_row(device),     changing_batch_row(device), models_row(device),
          accumulation_row(device), allocator_options_row(device), batch_of_one_conv(device)};
}

}  // namespace mnemo::labs
