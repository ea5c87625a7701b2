// Claim A5: what the ledger says a training step holds at its peak, against resolution and card.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/resolution.h"
#include "labs/stack.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;

constexpr std::int64_t kBatch = 4, kLow = 16, kHigh = 32;

/// The device and, where it is a card, others beside it.
std::vector<std::string> side_by_side(const std::string& device) {
  std::vector<std::string> devices{device};
  const Card* own = card_of(device);
  if (own == nullptr) return devices;
  for (const char* other : {"h200", "a100-80gb", "rtx4090", "t4"}) {
    if (find_card(other) != own) devices.push_back(std::string("virtual:") + other);
  }
  return devices;
}

/// What is neither a weight nor the input nor a workspace.
Bytes activations(const memory::Peak& peak) {
  return peak.allocated - held_as(peak.categories, Category::parameter) - held_as(peak.categories, Category::input) -
         held_as(peak.categories, Category::workspace);
}

}  // namespace

Row categories_row(const std::string& name) {
  Row row{.claim = "A5",
          .statement = "Weights are fixed, buffers depend on algorithm and hardware, autograd keeps activations.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const std::string on = shape_only(name);
  const ConvPolicy policy = favourite();
  std::set<Bytes> weights, at_low, at_high;
  std::int64_t unknown = 0;
  Bytes kept = 0, kept_without = 0;
  std::vector<Bytes> held;  // activations at the peak, by rising resolution
  for (const std::string& device : side_by_side(on)) {
    const Device deciding = open_device(device, {});
    for (const std::int64_t size : {kLow, kHigh}) {
      const models::Spec spec = stack_spec(kBatch, size);
      const StackFormula formula(spec, policy, deciding);
      const StackMeasurement measured = measure(spec, policy, device);
      const Moment peak = formula.step_peak();
      const Bytes workspace = held_as(measured.peak.categories, Category::workspace);
      if (formula.estimated())
        ++unknown;
      else
        (size == kLow ? at_low : at_high).insert(workspace);
      const auto at = [&](const char* what) { return fmt::format("{}, {}^3", what, size); };
      if (device == on) {
        kept = held_as(measured.forward, Category::saved_activation);
        kept_without = measured.saved_without_gradients;
        weights.insert(held_as(measured.peak.categories, Category::parameter));
        held.push_back(activations(measured.peak));
        row.figures.push_back({at("weights at the peak"), formula.parameters(), *weights.rbegin()});
        row.figures.push_back(
            {at("input at the peak"), formula.input(), held_as(measured.peak.categories, Category::input)});
        row.figures.push_back({at("activations kept by autograd after the forward pass"), formula.saved(), kept});
        row.figures.push_back({at("the same without recording gradients"), 0, kept_without});
        row.figures.push_back({at("activations and gradients at the peak"),
                               peak.bytes - peak.workspace - formula.parameters() - formula.input(), held.back()});
      }
      row.figures.push_back({fmt::format("{}, {}^3: workspace at the peak, {}", device, size, formula.engine()),
                             peak.workspace, workspace});
      row.figures.push_back(
          {fmt::format("{}, {}^3: peak of a training step", device, size), peak.bytes, measured.peak.allocated});
    }
  }
  const bool fixed = weights.size() == 1, keeps = kept > 0 && kept_without == 0;
  const bool algorithm = at_low != at_high, hardware = at_low.size() > 1 || at_high.size() > 1;
  row.verdict = !fixed || !keeps ? Verdict::fails : algorithm && hardware ? Verdict::holds : Verdict::depends;
  row.because = fmt::format(
      "the weights {} with the resolution, activations and gradients grow {} from {}^3 to {}^3; autograd {}; the "
      "workspace at the peak {} with the resolution, and {}",
      fixed ? "do not change" : "change", times(held.back(), held.front()), kLow, kHigh,
      keeps ? "keeps the rectifier's output, and nothing without recording" : "does not decide what is kept",
      algorithm ? "changes" : "does not change",
      side_by_side(on).size() == 1 ? "one device alone says nothing of hardware"
      : hardware ? fmt::format("differs between the cards: {} different values at {}^3, {} at {}^3", at_low.size(),
                               kLow, at_high.size(), kHigh)
                 : "is the same on all cards");
  if (unknown > 0)
    row.because += fmt::format("; {} steps are left out of that, since a workspace is unknown here", unknown);
  row.mechanism =
      "parameters have the layer's shape, not the image's; every tensor between layers has the image's; the workspace "
      "is the engine's, which the library picks for the shape and the card";
  return row;
}

}  // namespace mnemo::labs
