// Claim C1: a pool that halves the length before a Conv1d sees it.
#include <fmt/format.h>

#include "labs/conv1d.h"
#include "labs/layer.h"
#include "labs/recorded_devices.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

constexpr std::int64_t kLength = 1024;

nn::Conv1d first_conv() { return nn::Conv1d({.in = 128, .out = 64, .kernel = 3}); }
nn::Conv1d further_conv() { return nn::Conv1d({.in = 64, .out = 64, .kernel = 3}); }

models::Spec max_pooled() {
  return sequence_spec<nn::Sequential>("conv1d behind max pooling",
                                       [] { return nn::Sequential(nn::MaxPool1d({.kernel = 2}), first_conv()); });
}
models::Spec four_convs() {
  return sequence_spec<nn::Sequential>(
      "four convolutions", [] { return nn::Sequential(first_conv(), further_conv(), further_conv(), further_conv()); });
}
models::Spec pooled_four_convs() {
  return sequence_spec<nn::Sequential>("four convolutions behind average pooling", [] {
    return nn::Sequential(nn::AvgPool1d({.kernel = 2}), first_conv(), further_conv(), further_conv(), further_conv());
  });
}

std::vector<Conv1dLayer> four_layers() {
  const Conv1dLayer further{.in = 64, .out = 64, .kernel = 3};
  return {kOneConv.front(), further, further, further};
}

Row shape_row(const Conv1dFormula& formula, const Conv1dMeasurement& average) {
  constexpr std::int64_t kClaimed = 512;
  Row row{.claim = "C1a",
          .statement = "A pooling by 2 and Conv1d(128, 64, kernel 3) turn (1, 128, 1024) into (1, 64, 512).",
          .figures = {{"length of the output (not bytes)", formula.output_length(), average.output_length}},
          .verdict = average.output_length == kClaimed ? Verdict::holds : Verdict::fails,
          .because = fmt::format("it is (1, 64, {})", average.output_length),
          .mechanism = "1024 / 2 = 512, and without padding a kernel of 3 takes away 2; padding 1 would keep 512"};
  return row;
}

/// What backward is left by a pool alone, when what it reads needs a gradient or not.
Bytes kept_by_pool(bool max, bool needs_gradient, const std::string& name) {
  const Device device = open_device(name, exact_blocks());
  const DeviceScope scope(device);
  manual_seed(0);
  const Tensor x = randn({1, 128, kLength}, {.requires_grad = needs_gradient});
  const Tensor y = max ? max_pool1d(x, {.kernel = 2}) : avg_pool1d(x, {.kernel = 2});
  return held_as(device.allocator().categories(), Category::saved_activation);
}

Row kind_row(const std::string& device) {
  const Bytes places = block_bytes(128 * kLength / 2, 1);
  Row row{.claim = "C1b",
          .statement = "Average and max pooling before it need the same memory.",
          .figures = {{"kept by average pooling of the input", 0, kept_by_pool(false, false, device)},
                      {"kept by max pooling of the input", 0, kept_by_pool(true, false, device)},
                      {"kept by average pooling behind another layer", 0, kept_by_pool(false, true, device)},
                      {"kept by max pooling behind another layer", places, kept_by_pool(true, true, device)}},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const auto measured = [&](std::size_t i) { return row.figures[i].measured; };
  const bool same_first = measured(0) == measured(1), same_behind = measured(2) == measured(3);
  row.verdict = same_first && same_behind ? Verdict::holds : same_first ? Verdict::depends : Verdict::fails;
  row.because =
      fmt::format("on where it stands: of the input itself {}; behind another layer {}",
                  same_first ? "both keep the same" : "they keep different bytes",
                  same_behind ? "too" : fmt::format("max keeps {} more", format_bytes(measured(3) - measured(2))));
  row.mechanism =
      "backward has to know which of the values was the largest: one byte for each output. An average needs nothing, "
      "and data that needs no gradient has no backward";
  return row;
}

Row memory_row(const std::string& name, const Device& device, const Conv1dMeasurement& average) {
  const Conv1dMeasurement full = measure(*models::find_spec("conv1d"), 1, kLength, name),
                          max = measure(max_pooled(), 1, kLength, name),
                          half = measure(*models::find_spec("conv1d"), 1, kLength / 2, name),
                          four = measure(four_convs(), 1, kLength, name),
                          pooled_four = measure(pooled_four_convs(), 1, kLength, name);
  const Conv1dFormula at_full(device, kOneConv, 1, kLength), at_half(device, kOneConv, 1, kLength / 2),
      at_pooled(device, kOneConv, 1, kLength, true), at_four(device, four_layers(), 1, kLength),
      at_pooled_four(device, four_layers(), 1, kLength, true);
  const Bytes reads_full = full.input + full.output, reads_pooled = average.kept + average.output;
  Row row{.claim = "C1",
          .statement = "Pooling by 2 before a Conv1d drastically reduces the memory of activations.",
          .figures = {{"the convolution's input and output, length 1024", at_full.first_conv(), reads_full},
                      {"the convolution's input and output, pooled", at_pooled.first_conv(), reads_pooled},
                      {"peak of a forward pass without recording, length 1024", at_full.inference_peak(),
                       full.inference_peak},
                      {"peak of a forward pass without recording, pooled", at_pooled.inference_peak(),
                       average.inference_peak},
                      {"peak of a training step, length 1024", at_full.step_peak(), full.step_peak},
                      {"peak of a training step, average pooling", at_pooled.step_peak(), average.step_peak},
                      {"peak of a training step, max pooling", at_pooled.step_peak(), max.step_peak},
                      {"peak of a training step, data of length 512 and no pool", at_half.step_peak(), half.step_peak},
                      {"peak of a training step, length 1024, three more convolutions behind", at_four.step_peak(),
                       four.step_peak},
                      {"peak of a training step, average pooling, three more convolutions behind",
                       at_pooled_four.step_peak(), pooled_four.step_peak}},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const auto spares = [](Bytes before, Bytes after) { return 2 * before >= 3 * after; };  // a third or more
  const bool whole = spares(full.step_peak, average.step_peak);
  const bool elsewhere = spares(reads_full, reads_pooled) || spares(full.step_peak, half.step_peak) ||
                         spares(four.step_peak, pooled_four.step_peak);
  row.verdict = whole ? Verdict::holds : elsewhere ? Verdict::depends : Verdict::fails;
  row.because = fmt::format(
      "on what else is there: what the convolution reads and writes becomes {}, but a training step of the layer alone "
      "{}, and a forward pass without recording {}. With three more convolutions behind, the step becomes {}, with "
      "data that comes at half the length {}",
      times(reads_pooled, reads_full), times(average.step_peak, full.step_peak),
      times(average.inference_peak, full.inference_peak), times(pooled_four.step_peak, four.step_peak),
      times(half.step_peak, full.step_peak));
  row.mechanism =
      "the pooled input is one more tensor, and the full one stays: whoever made the batch holds it. The former has as "
      "many bytes as the halved output and its gradient spare. Everything behind the pool halves, so the more comes "
      "there, the better; best is to shorten the data before it is on the device";
  return row;
}

}  // namespace

std::vector<Row> pooled_rows(const std::string& name) {
  const Device device = open_device(name, {});
  const Conv1dMeasurement average = measure(*models::find_spec("conv1d-downsample"), 1, kLength, name);
  return {shape_row(Conv1dFormula(device, kOneConv, 1, kLength, true), average), kind_row(name),
          memory_row(name, device, average)};
}

}  // namespace mnemo::labs
