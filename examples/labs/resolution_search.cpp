// Claim A4, all causes together: a search for two resolutions of one layer of which the lower one needs more memory for
// a whole training step.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "labs/arithmetic.h"
#include "labs/resolution.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

/// A layer with the resolutions at which it is tried, in rising order.
struct Range {
  LayerCase layer;
  std::vector<std::int64_t> sizes;
};

/// Layers at which some card is known to change its engine; every step needs less than 2 GB.
std::vector<Range> ranges() {
  const ConvPolicy last = favourite(ConvLayout::channels_last);
  return {
      {{.kernel = 7, .padding = 3, .dtype = DType::float16, .policy = favourite()}, {16, 24, 32, 48}},
      {{.rank = 2, .in = 256, .out = 256, .kernel = 7, .padding = 3, .policy = favourite()}, {40, 48, 56, 64, 80}},
      {{.rank = 2, .in = 256, .out = 256, .kernel = 7, .padding = 3, .policy = last}, {40, 48, 56, 64, 80}},
      {{.in = 32, .out = 64, .kernel = 7, .padding = 3, .batch = 4, .dtype = DType::bfloat16, .policy = favourite()},
       {24, 32, 40, 48}},
      {{.in = 128, .out = 128, .kernel = 7, .padding = 3, .batch = 16, .policy = last}, {12, 16, 20, 24}}};
}

/// One training step of the search.
struct Step {
  LayerCase layer;
  Moment predicted;
  memory::Peak peak;
  std::string engines;  ///< of the forward pass and the weight gradient
  bool estimated;       ///< the workspace of one of them is unknown
};

Step try_step(const LayerCase& layer, const std::string& on, const Device& deciding) {
  const LayerFormula formula(layer, deciding);
  const ConvPlan forward = formula.plan(ConvPass::forward), weight = formula.plan(ConvPass::weight_gradient);
  return {layer, formula.step_peak(), measure_step(layer, on, exact_blocks()),
          engine_text(forward) + ", " + engine_text(weight), forward.estimated || weight.estimated};
}

/// The pair of one layer's steps whose lower resolution exceeds the higher one's peak by the largest factor.
struct Pair {
  const Step* low = nullptr;
  const Step* high = nullptr;

  double factor() const {
    return low == nullptr ? 1 : static_cast<double>(low->peak.allocated) / static_cast<double>(high->peak.allocated);
  }
};

Pair widest(const std::vector<Step>& steps) {
  Pair best;
  for (const Step& low : steps) {
    for (const Step& high : steps) {
      if (low.estimated || high.estimated) continue;
      const Pair pair{&low, &high};
      if (low.layer.size < high.layer.size && pair.factor() > best.factor()) best = pair;
    }
  }
  return best;
}

std::string pair_text(const Pair& pair, const Device& device) {
  const Step &low = *pair.low, &high = *pair.high;
  return fmt::format("{}: {} at {} ({}) against {} at {} ({}), x{:.2f}", low.layer.title(device),
                     format_bytes(low.peak.allocated), low.layer.size_text(), low.engines,
                     format_bytes(high.peak.allocated), high.layer.size_text(), high.engines, pair.factor());
}

void add_steps(Row& row, const std::vector<Step>& steps, const Device& device) {
  const std::string title = steps.front().layer.title(device);
  for (const Step& step : steps) {
    row.figures.push_back({fmt::format("peak of a step, {}, {}: {}", title, step.layer.size_text(), step.engines),
                           step.predicted.bytes, step.peak.allocated});
    row.figures.push_back({fmt::format("    of that workspace, {}", step.layer.size_text()), step.predicted.workspace,
                           held_as(step.peak.categories, Category::workspace)});
  }
}

/// The same two resolutions under mnemo's own policy: deterministic engines, no TF32. What becomes of the lower one.
std::string under_own_policy(Row& row, const Pair& pair, const std::string& on, const Device& deciding) {
  Bytes peaks[2];
  for (int i = 0; i < 2; ++i) {
    LayerCase layer = (i == 0 ? pair.low : pair.high)->layer;
    layer.policy = {.layout = layer.policy.layout};
    const Step step = try_step(layer, on, deciding);
    peaks[i] = step.peak.allocated;
    row.figures.push_back(
        {fmt::format("peak of a step under mnemo's own policy, {}: {}", layer.size_text(), step.engines),
         step.predicted.bytes, peaks[i]});
  }
  return peaks[0] > peaks[1] ? "peaks higher as well" : "does not peak higher";
}

}  // namespace

Row whole_step_row(const std::string& name) {
  const std::string on = shape_only(name);
  const Device deciding = open_device(on, {});
  std::vector<std::vector<Step>> layers;
  std::int64_t tried = 0, agreeing = 0, unknown = 0;
  std::vector<std::string> pairs;
  for (const Range& range : ranges()) {
    layers.emplace_back();
    for (const std::int64_t size : range.sizes) {
      layers.back().push_back(try_step(range.layer.at(size), on, deciding));
      const Step& step = layers.back().back();
      ++tried;
      if (step.estimated) ++unknown;
      if (step.predicted.bytes == step.peak.allocated) ++agreeing;
    }
    const Pair pair = widest(layers.back());
    if (pair.low != nullptr) pairs.push_back(pair_text(pair, deciding));
  }
  const auto found = std::max_element(layers.begin(), layers.end(), [](const auto& a, const auto& b) {
    return widest(a).factor() < widest(b).factor();
  });
  const Pair best = widest(*found);
  Row row{.claim = "A4",
          .statement = "Here a whole training step can need more memory at a lower resolution.",
          .figures = {{"steps whose peak is that of the arithmetic (count)", tried, agreeing}},
          .verdict = best.low != nullptr ? Verdict::holds
                     : unknown > 0       ? Verdict::depends
                                         : Verdict::fails,
          .because = {},
          .mechanism = {}};
  add_steps(row, *found, deciding);
  std::string range = fmt::format("{} layers, {} training steps searched", layers.size(), tried);
  if (unknown > 0) range += fmt::format(" ({} left out, since a workspace is unknown here)", unknown);
  if (best.low == nullptr) {
    row.because =
        fmt::format("{}: on {} no lower resolution peaks higher; the table shows the first layer", range, name);
  } else {
    const std::string own = under_own_policy(row, best, on, deciding);
    row.because = fmt::format(
        "{}. On {} a lower resolution peaks higher in {} of the layers: {}. Under mnemo's own policy {} of the "
        "table's pair {}",
        range, name, pairs.size(), fmt::join(pairs, "; "), best.low->layer.size_text(), own);
  }
  row.mechanism =
      "the step's peak is what the tensors take, which rises with the resolution, plus the workspace of the engine "
      "that runs at that moment, which need not. Every step is in a fresh process, so nothing is cached from before; "
      "a line names the engines of the forward pass and of the weight gradient. Beyond 2^31 elements there is a cliff "
      "as well: `mnemo lab reported`";
  return row;
}

}  // namespace mnemo::labs
