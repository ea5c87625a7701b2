// Claim A4, one cause at a time: what can make a lower resolution use more memory, with everything else kept away.
#include <algorithm>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/resolution.h"
#include "models/layer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

/// Whether a smaller size comes with a larger number somewhere; the numbers stand in the order of the sizes.
bool falls_somewhere(const std::vector<Bytes>& bytes) { return !std::is_sorted(bytes.begin(), bytes.end()); }

/// Peaks of whole steps without any workspace.
std::vector<Bytes> add_direct_peaks(Row& row, const LayerCase& layer, const std::vector<std::int64_t>& sizes,
                                    const std::string& device) {
  std::vector<Bytes> peaks;
  for (const std::int64_t size : sizes) {
    LayerCase at = layer.at(size);
    at.policy.choice = ConvPolicy::Choice::direct;
    peaks.push_back(measure_step(at, device, exact_blocks()).allocated);
    row.figures.push_back({fmt::format("peak of a training step without workspace, {}", at.size_text()),
                           LayerFormula(at, open_device(device, {})).step_peak().bytes, peaks.back()});
  }
  return peaks;
}

}  // namespace

ConvPolicy favourite(std::optional<ConvLayout> layout) {
  return {.choice = ConvPolicy::Choice::heuristic, .allow_tf32 = true, .layout = layout};
}

std::string engine_text(const ConvPlan& plan) {
  if (plan.estimated) return "estimated";
  const std::string engine = plan.engine;  // without its settings: `mnemo plans` shows them
  return plan.algorithm == ConvAlgorithm::library ? engine.substr(0, engine.find('_')) : mnemo::name(plan.algorithm);
}

std::string pass_text(ConvPass pass) {
  std::string text = mnemo::name(pass);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

Row activations_row(const std::string& device) {
  Row row{.claim = "A4a",
          .statement = "Lower resolution can use more memory through activations alone.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const std::vector<Bytes> peaks = add_direct_peaks(row, {.padding = 1}, {8, 12, 16, 24, 32}, device);
  const bool falls = falls_somewhere(peaks);
  row.verdict = falls ? Verdict::holds : Verdict::fails;
  row.because =
      falls ? "a peak falls where the resolution rises"
            : fmt::format("every peak is higher than that of the resolution below, from {} at 8^3 to {} at 32^3",
                          format_bytes(peaks.front()), format_bytes(peaks.back()));
  row.mechanism =
      "with an algorithm without workspace a step holds weights, which do not change, and tensors that grow with the "
      "number of voxels";
  return row;
}

Row padding_share_row(const std::string& device) {
  const LayerCase layer{.padding = 2};
  Row row{.claim = "A4b",
          .statement = "Lower resolution can use more memory through padding alone.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const std::vector<std::int64_t> sizes{4, 8, 16, 32};
  std::vector<std::int64_t> shares;
  for (const std::int64_t size : sizes) {
    const DeviceScope scope(open_device(device, {}));
    const models::Spec spec = models::layer_spec(layer.at(size).text());
    const Tensor output = spec.make()->forward(models::random_batch(spec, 1, size).input);
    const std::int64_t edge = size + 4 - 2, voxels = size * size * size;
    shares.push_back(output.size(-1) * output.size(-2) * output.size(-3) * 1000 / voxels);
    row.figures.push_back({fmt::format("output voxels for 1000 input voxels, {}^3", size),
                           edge * edge * edge * 1000 / voxels, shares.back()});
  }
  const std::vector<Bytes> peaks = add_direct_peaks(row, layer, sizes, device);
  const bool falls = falls_somewhere(peaks);
  row.verdict = falls ? Verdict::holds : Verdict::fails;
  row.because = fmt::format(
      "in proportion padding costs {} at the lowest resolution (x{:.2f} of the input at 4^3, x{:.2f} at 32^3), but in "
      "bytes {}",
      shares.front() > shares.back() ? "most" : "no more", static_cast<double>(shares.front()) / 1000,
      static_cast<double>(shares.back()) / 1000,
      falls ? "a peak falls where the resolution rises" : "every higher resolution takes more");
  row.mechanism =
      "padding 2 under a kernel of 3 adds 2 voxels to every edge: (n + 2)^3 / n^3 falls with n, and (n + 2)^3 rises";
  return row;
}

Row workspace_row(const std::string& name) {
  struct Pair {
    LayerCase layer;
    ConvPass pass;
    std::int64_t low, high;
  };
  const auto last = favourite(ConvLayout::channels_last);
  constexpr ConvPass kForward = ConvPass::forward, kWeight = ConvPass::weight_gradient;
  // Pairs at which one card or another changes its engine.
  const Pair pairs[] = {
      {{.rank = 2, .in = 256, .out = 256, .kernel = 7, .padding = 3, .policy = favourite()}, kWeight, 48, 64},
      {{.rank = 2, .in = 256, .out = 256, .kernel = 7, .padding = 3, .policy = last}, kWeight, 56, 80},
      {{.kernel = 7, .padding = 3, .batch = 16, .dtype = DType::bfloat16, .policy = favourite()}, kWeight, 32, 56},
      {{.kernel = 3, .padding = 1, .batch = 4, .dtype = DType::float16, .policy = favourite()}, kWeight, 28, 56},
      {{.in = 32, .out = 64, .kernel = 7, .padding = 3, .batch = 4, .dtype = DType::bfloat16, .policy = favourite()},
       kWeight,
       32,
       48},
      {{.in = 128, .out = 128, .kernel = 7, .padding = 3, .batch = 16, .policy = last}, kWeight, 16, 24},
      {{.in = 1, .out = 16, .kernel = 7, .padding = 3, .batch = 16, .policy = favourite()}, kForward, 48, 56},
      {{.rank = 2, .in = 256, .out = 256, .padding = 1, .batch = 16, .policy = last}, kForward, 200, 224},
      {{.rank = 2, .in = 32, .out = 64, .padding = 1, .batch = 16, .policy = last}, kForward, 128, 152},
  };
  const std::string on = shape_only(name);
  const Device device = open_device(on, {});
  Row row{.claim = "A4c",
          .statement =
              "Lower resolution can use more memory through the library's choice of algorithm alone: its workspace.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  std::int64_t higher = 0, other_engine = 0, estimated = 0;
  std::string example;
  double largest = 1;
  for (const Pair& pair : pairs) {
    Bytes measured[2];
    std::string engines[2];
    for (int i = 0; i < 2; ++i) {
      const LayerCase at = pair.layer.at(i == 0 ? pair.low : pair.high);
      const LayerFormula formula(at, device);
      engines[i] = engine_text(formula.plan(pair.pass));
      if (formula.plan(pair.pass).estimated) ++estimated;
      measured[i] = measure_workspace(at, pair.pass, on);
      row.figures.push_back(
          {fmt::format("{}, {}, {}: {}", at.title(device), pass_text(pair.pass), at.size_text(), engines[i]),
           formula.workspace(pair.pass), measured[i]});
    }
    if (measured[0] <= measured[1]) continue;
    ++higher;
    if (engines[0] != engines[1]) ++other_engine;
    const double ratio = static_cast<double>(measured[0]) / static_cast<double>(std::max<Bytes>(measured[1], 1));
    if (ratio < largest) continue;
    largest = ratio;
    example =
        fmt::format("; most in {}, {}: {} by {} at {}, {} by {} at {}", pair.layer.title(device), pass_text(pair.pass),
                    format_bytes(measured[0]), engines[0], pair.layer.at(pair.low).size_text(),
                    format_bytes(measured[1]), engines[1], pair.layer.at(pair.high).size_text());
  }
  row.verdict = higher > 0 ? Verdict::holds : estimated > 0 ? Verdict::depends : Verdict::fails;
  row.because = fmt::format("in {} of {} pairs the workspace on {} is larger at the lower resolution", higher,
                            std::size(pairs), name);
  if (higher > 0) row.because += fmt::format(" (in {} of these it is another engine's)", other_engine) + example;
  if (estimated > 0) row.because += fmt::format("; {} workspaces are unknown here and count as 0", estimated);
  row.mechanism =
      "for every shape the library ranks its engines anew, each with settings that the names do not show; its "
      "favourite at the lower resolution may want more scratch memory than its favourite at the higher, be it another "
      "engine or the same one";
  return row;
}

}  // namespace mnemo::labs
