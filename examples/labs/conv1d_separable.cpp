// Claim C2: a depthwise and a pointwise convolution in place of a Conv1d.
#include <functional>

#include <fmt/format.h>

#include "labs/conv1d.h"
#include "labs/recorded_devices.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

constexpr std::int64_t kLength = 512, kShortest = 3, kLongest = 4096;

/// The peak at a length, of the one or the other.
using PeakAt = std::function<Bytes(bool separable, std::int64_t length)>;

/// From which length on the separable one takes more: where a doubling of the length first shows it, narrowed down.
/// kShortest if it always does, kLongest if it never does.
std::int64_t crossing(const PeakAt& peak) {
  const auto takes_more = [&](std::int64_t length) { return peak(true, length) > peak(false, length); };
  if (takes_more(kShortest)) return kShortest;
  std::int64_t less = kShortest, more = 4;
  for (; !takes_more(more); more *= 2) {
    if (more == kLongest) return kLongest;
    less = more;
  }
  while (more - less > 1) {
    const std::int64_t middle = (less + more) / 2;
    (takes_more(middle) ? more : less) = middle;
  }
  return more;
}

Row shape_row(const Conv1dFormula& formula, const Conv1dMeasurement& separable) {
  constexpr std::int64_t kClaimed = 512;
  return {.claim = "C2a",
          .statement = "The separable convolution of an input (1, 128, 512) gives (1, 64, 512).",
          .figures = {{"length of the output (not bytes)", formula.output_length(), separable.output_length}},
          .verdict = separable.output_length == kClaimed ? Verdict::holds : Verdict::fails,
          .because = fmt::format("it is (1, 64, {})", separable.output_length),
          .mechanism = "the depthwise part has kernel 3 and no padding, so 2 are missing; kernel 1 takes nothing away"};
}

Row parameters_row(const Conv1dFormula formulas[2], const Conv1dMeasurement& plain,
                   const Conv1dMeasurement& separable) {
  const bool fewer = 2 * separable.parameter_values < plain.parameter_values;
  return {.claim = "C2b",
          .statement = "The separable convolution has significantly fewer parameters.",
          .figures = {{"parameters of Conv1d(128, 64, kernel 3) (not bytes)", formulas[0].parameter_values(),
                       plain.parameter_values},
                      {"parameters of the separable one (not bytes)", formulas[1].parameter_values(),
                       separable.parameter_values}},
          .verdict = fewer ? Verdict::holds : Verdict::fails,
          .because = fmt::format("{} of those of the convolution that it replaces",
                                 times(separable.parameter_values, plain.parameter_values)),
          .mechanism =
              "64*128*3 + 64 = 24,640 against 128*3 + 128 for the depthwise and 64*128 + 64 for the pointwise part"};
}

std::string length_text(std::int64_t crossing) {
  if (crossing == kShortest) return "at every length";
  if (crossing == kLongest) return fmt::format("at no length up to {}", kLongest);
  return fmt::format("from length {} on", crossing);
}

Row memory_row(const std::string& name, const Device& device, const Conv1dMeasurement& plain,
               const Conv1dMeasurement& separable) {
  const auto formula = [&](bool other, std::int64_t length) {
    return Conv1dFormula(device, other ? kSeparable : kOneConv, 1, length);
  };
  const auto measurement = [&](bool other, std::int64_t length) {
    return measure(*models::find_spec(other ? "conv1d-separable" : "conv1d"), 1, length, shape_only(name));
  };
  const std::int64_t trains =
      crossing([&](bool other, std::int64_t length) { return measurement(other, length).step_peak; });
  const std::int64_t infers =
      crossing([&](bool other, std::int64_t length) { return measurement(other, length).inference_peak; });
  const Conv1dFormula before = formula(false, kLength), after = formula(true, kLength);
  Row row{
      .claim = "C2",
      .statement = "A depthwise separable convolution uses less memory than the Conv1d that it replaces.",
      .figures = {{"kept for backward besides the input, Conv1d", before.kept(), plain.kept},
                  {"kept for backward besides the input, separable", after.kept(), separable.kept},
                  {"peak of a training step, Conv1d", before.step_peak(), plain.step_peak},
                  {"peak of a training step, separable", after.step_peak(), separable.step_peak},
                  {"peak of a forward pass without recording, Conv1d", before.inference_peak(), plain.inference_peak},
                  {"peak of a forward pass without recording, separable", after.inference_peak(),
                   separable.inference_peak}},
      .verdict = Verdict::depends,
      .because = {},
      .mechanism = {}};
  row.figures.push_back({"length from which on the separable one's training step takes more (not bytes)",
                         crossing([&](bool other, std::int64_t length) { return formula(other, length).step_peak(); }),
                         trains});
  row.figures.push_back(
      {"length from which on its forward pass without recording takes more (not bytes)",
       crossing([&](bool other, std::int64_t length) { return formula(other, length).inference_peak(); }), infers});
  for (const std::int64_t length : {trains - 1, trains}) {
    if (length < kShortest) continue;
    for (const bool other : {false, true}) {
      row.figures.push_back(
          {fmt::format("peak of a training step, {}, length {}", other ? "separable" : "Conv1d", length),
           formula(other, length).step_peak(), measurement(other, length).step_peak});
    }
  }
  const auto verdict = [](std::int64_t crossing) {
    return crossing == kShortest ? Verdict::fails : crossing == kLongest ? Verdict::holds : Verdict::depends;
  };
  row.verdict = verdict(trains) == verdict(infers) ? verdict(trains) : Verdict::depends;
  row.because = fmt::format(
      "on the length: at batch 1 its training step takes more {}, its forward pass without recording {}; at length 512 "
      "training takes {} instead of {} ({}), without recording {} instead of {} ({})",
      length_text(trains), length_text(infers), format_bytes(separable.step_peak), format_bytes(plain.step_peak),
      times(separable.step_peak, plain.step_peak), format_bytes(separable.inference_peak),
      format_bytes(plain.inference_peak), times(separable.inference_peak, plain.inference_peak));
  row.mechanism =
      "it spares 63,488 bytes of parameters, and again about as much of gradients, whatever the input; it adds a "
      "tensor "
      "(N, 128, L - 2) between its parts, which backward needs, and in backward its gradient: 2 * 512 * N * (L - 2) "
      "bytes. A batch of N counts like N times the length. Workspaces, where the device takes some, move the crossing";
  return row;
}

}  // namespace

std::vector<Row> separable_rows(const std::string& name) {
  const Device device = open_device(name, {});
  const Conv1dMeasurement plain = measure(*models::find_spec("conv1d"), 1, kLength, name),
                          separable = measure(*models::find_spec("conv1d-separable"), 1, kLength, name);
  const Conv1dFormula formulas[2] = {{device, kOneConv, 1, kLength}, {device, kSeparable, 1, kLength}};
  return {shape_row(formulas[1], separable), parameters_row(formulas, plain, separable),
          memory_row(name, device, plain, separable)};
}

}  // namespace mnemo::labs
