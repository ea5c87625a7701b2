// The resolution lab: padding, batch and kernel of a 3-D convolution (claims A1 to A3); the other claims stand in the
// files beside this one.
#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/layer.h"
#include "labs/resolution.h"
#include "labs/row.h"

namespace mnemo::labs {

namespace {

/// A layer with its two answers.
struct Study {
  LayerCase layer;
  Device device;  ///< decides about workspaces, runs nothing
  LayerFormula formula;
  LayerMeasurement measured;

  Study(const LayerCase& of, const std::string& on)
      : layer(of), device(open_device(on, {})), formula(layer, device), measured(measure(layer, on)) {}
  Study(const Study&) = delete;
  Study& operator=(const Study&) = delete;

  memory::Bytes step_peak() const { return formula.step_peak().bytes; }
};

Row padding_row(const std::string& device) {
  const Study low({.padding = 2, .size = 16}, device);
  const Study high({.padding = 2, .size = 32}, device);
  const auto growth = [](const Study& study) {
    const double ratio = static_cast<double>(study.measured.output_edge) / static_cast<double>(study.layer.size);
    return ratio * ratio * ratio;
  };
  Row row{.claim = "A1",
          .statement = "Padding 2 drastically increases the output, also at the lower resolution.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  for (const Study* study : {&low, &high}) {
    const auto at = [study](const char* what) { return fmt::format("{} at {}^3", what, study->layer.size); };
    row.figures.push_back({at("output edge (voxels)"), study->formula.output_edge(), study->measured.output_edge});
    row.figures.push_back({at("input"), study->formula.input(), study->measured.input});
    row.figures.push_back({at("output"), study->formula.output(), study->measured.output});
    row.figures.push_back({at("peak of a training step"), study->step_peak(), study->measured.step_peak});
  }
  const bool relatively_more = growth(low) > growth(high),
             less_in_bytes = low.measured.step_peak < high.measured.step_peak;
  row.verdict = relatively_more && less_in_bytes ? Verdict::depends : less_in_bytes ? Verdict::fails : Verdict::holds;
  row.because = fmt::format(
      "on the resolution: the output grows x{:.2f} at 16^3 and x{:.2f} at 32^3; in bytes 16^3 takes {} of what 32^3 "
      "does",
      growth(low), growth(high), times(low.measured.step_peak, high.measured.step_peak));
  row.mechanism =
      "the edge grows by 2 voxels whatever its length, so the share of the padding shrinks as the input grows";
  return row;
}

Row kernel_row(const std::string& device) {
  using Choice = ConvPolicy::Choice;
  const auto study = [&device](std::int64_t kernel, Choice choice) {
    return Study({.kernel = kernel, .policy = {.choice = choice}}, device);
  };
  const Study k3 = study(3, Choice::automatic), k7 = study(7, Choice::automatic);
  const Study direct3 = study(3, Choice::direct), direct7 = study(7, Choice::direct);
  const Study gemm3 = study(3, Choice::gemm), gemm7 = study(7, Choice::gemm);
  Row row{.claim = "A3",
          .statement = "Kernel 7 instead of 3 at 16^3 increases memory for both the kernels and the output.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  for (const Study* s : {&k3, &k7}) {
    const auto of = [s](const char* what) { return fmt::format("{}, kernel {}", what, s->layer.kernel); };
    row.figures.push_back({of("weights (values)"), s->formula.weight_values(), s->measured.weight_values});
    row.figures.push_back({of("parameters"), s->formula.parameters(), s->measured.parameters});
    row.figures.push_back({of("output edge (voxels)"), s->formula.output_edge(), s->measured.output_edge});
    row.figures.push_back({of("output"), s->formula.output(), s->measured.output});
  }
  const auto add_algorithm = [&row](const char* name, const Study& s) {
    row.figures.push_back({fmt::format("workspace, kernel {}, {}", s.layer.kernel, name),
                           s.formula.workspace(ConvPass::forward), s.measured.workspace});
    row.figures.push_back({fmt::format("peak of a training step, kernel {}, {}", s.layer.kernel, name), s.step_peak(),
                           s.measured.step_peak});
  };
  add_algorithm("auto", k3), add_algorithm("auto", k7);
  add_algorithm("direct", direct3), add_algorithm("direct", direct7);
  add_algorithm("gemm", gemm3), add_algorithm("gemm", gemm7);
  const bool kernels_grow = k7.measured.parameters > k3.measured.parameters,
             output_grows = k7.measured.output > k3.measured.output;
  row.verdict = kernels_grow && output_grows ? Verdict::holds : kernels_grow ? Verdict::depends : Verdict::fails;
  row.because = fmt::format(
      "on what is counted: parameters {}, output {} (it {}), peak of a step {} with direct and {} with gemm",
      times(k7.measured.parameters, k3.measured.parameters), times(k7.measured.output, k3.measured.output),
      output_grows ? "grows" : "shrinks", times(direct7.measured.step_peak, direct3.measured.step_peak),
      times(gemm7.measured.step_peak, gemm3.measured.step_peak));
  row.mechanism =
      "weights go with kernel^3; without padding the output loses kernel - 1 voxels per edge; gemm unfolds kernel^3 "
      "values per output voxel";
  return row;
}

}  // namespace

Row batch_of_one_conv(const std::string& device) {
  const Study one({.batch = 1}, device), sixteen({.batch = 16}, device);
  Row row{.claim = "A2",
          .statement = "Batch 16 instead of 1 drastically increases memory: more inputs and outputs are stored.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  for (const Study* study : {&one, &sixteen}) {
    const auto of = [study](const char* what) { return fmt::format("{}, batch {}", what, study->layer.batch); };
    row.figures.push_back({of("parameters"), study->formula.parameters(), study->measured.parameters});
    row.figures.push_back({of("input"), study->formula.input(), study->measured.input});
    row.figures.push_back({of("output"), study->formula.output(), study->measured.output});
    row.figures.push_back({of("reserved after the forward pass"), study->formula.reserved(), study->measured.reserved});
    row.figures.push_back({of("peak of a training step"), study->step_peak(), study->measured.step_peak});
  }
  const bool tensors_grow =
      sixteen.measured.input == 16 * one.measured.input && sixteen.measured.output == 16 * one.measured.output;
  const bool weights_stay = sixteen.measured.parameters == one.measured.parameters;
  row.verdict = tensors_grow && weights_stay ? Verdict::holds : Verdict::depends;
  row.because = fmt::format("input and output x16, parameters {}; together the peak of a step {}, reserved {}",
                            times(sixteen.measured.parameters, one.measured.parameters),
                            times(sixteen.measured.step_peak, one.measured.step_peak),
                            times(sixteen.measured.reserved, one.measured.reserved));
  row.mechanism = "activations go with the batch, weights do not; reserved moves in whole segments of 2 MiB and 20 MiB";
  return row;
}

std::vector<Row> resolution_lab(const std::string& device) {
  return {padding_row(device),       batch_of_one_conv(device), kernel_row(device),
          activations_row(device),   padding_share_row(device), workspace_row(device),
          cached_blocks_row(device), whole_step_row(device),    categories_row(device)};
}

}  // namespace mnemo::labs
