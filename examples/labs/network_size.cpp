// The network-size lab: SmallNetwork and LargerConvNetwork, what their sizes, the batch and the precision do to memory
// (claims B1 to B6).
#include "labs/network_size.h"

#include <fmt/format.h>

#include "labs/flat_network.h"
#include "labs/training_bytes.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

/// Of a new model, by layer: the values of its parameters and the blocks that hold them.
struct LayerSizes {
  std::int64_t values = 0;
  Bytes conv = 0, linear = 0;
};

LayerSizes measure_layers(const models::Spec& spec, const std::string& device) {
  const DeviceScope here(open_device(device, exact_blocks()));
  const auto model = spec.make();
  LayerSizes sizes{.values = model->parameter_count()};
  for (const nn::NamedTensor& parameter : model->named_parameters()) {
    (parameter.name.starts_with("conv1.") ? sizes.conv : sizes.linear) +=
        parameter.tensor.array().storage()->block()->size;
  }
  return sizes;
}

Row filters_row(const std::string& device_name) {
  Row row{.claim = "B1",
          .statement = "64 filters instead of 16 in conv1 significantly increase the network's parameters.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const Device device = open_device(device_name, {});
  LayerSizes measured[2];
  for (int i = 0; i < 2; ++i) {
    const std::int64_t filters = i == 0 ? 16 : 64;
    const FlatNetworkFormula formula(device, filters, 1);
    const models::Spec& spec = *models::find_spec(i == 0 ? "small-network" : "larger-conv-network");
    measured[i] = measure_layers(spec, device_name);
    const auto of = [filters](const char* what) { return fmt::format("{}, {} filters", what, filters); };
    row.figures.push_back({of("parameters (count)"), formula.values(), measured[i].values});
    row.figures.push_back({of("conv1"), formula.conv(), measured[i].conv});
    row.figures.push_back({of("fc1"), formula.linear(), measured[i].linear});
    const TrainingBytes step = measure_training(spec, {.rule = training::Rule::adam}, 1, device_name);
    row.figures.push_back(
        {of("kept by autograd, batch 1"), formula.plane(), held_as(step.forward, Category::saved_activation)});
  }
  const bool grows = measured[1].values >= 2 * measured[0].values;
  row.verdict = grows ? Verdict::holds : Verdict::fails;
  const Bytes conv = measured[1].conv - measured[0].conv, linear = measured[1].linear - measured[0].linear;
  row.because = fmt::format("{} parameters; of the {} that they take more {} are fc1's, {} conv1's",
                            times(measured[1].values, measured[0].values), format_bytes(conv + linear),
                            format_bytes(linear), format_bytes(conv));
  row.mechanism =
      "a convolution has filters * (3*3*3 + 1) values, 448 and 1,792; the linear layer behind flatten has a weight for "
      "each output and each value that conv1 makes: 128 * filters * 30 * 30. A pooling before flatten, or a larger "
      "stride, would spare nearly all of them";
  return row;
}

Row batch_row(const std::string& device_name) {
  Row row{.claim = "B2",
          .statement = "A batch of 4 instead of 1 drastically increases the memory of SmallNetwork.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const models::Spec& spec = *models::find_spec("small-network");
  const training::TrainerOptions adam{.rule = training::Rule::adam};
  struct Measured {
    Bytes kept, peak, fixed;
  };
  std::vector<Measured> measured;
  for (const std::int64_t batch : {1, 4, 256}) {
    // The largest would take a CPU too long.
    const std::string place = batch > 4 ? shape_only(device_name) : device_name;
    const FlatNetworkFormula formula(open_device(place, {}), 16, batch);
    const TrainingBytes step = measure_training(spec, adam, batch, place);
    const Bytes fixed = held_as(step.after, Category::parameter) + held_as(step.after, Category::gradient) +
                        held_as(step.after, Category::optimizer_state);
    measured.push_back({held_as(step.forward, Category::saved_activation), step.peak.allocated, fixed});
    const auto of = [batch](const char* what) { return fmt::format("{}, batch {}", what, batch); };
    row.figures.push_back({of("kept by autograd"), formula.plane(), measured.back().kept});
    row.figures.push_back(
        {of("parameters, gradients and Adam's state"), 4 * formula.parameters(), measured.back().fixed});
    row.figures.push_back({of("peak of a training step"), formula.step_peak(), measured.back().peak});
  }
  const bool more_kept = measured[1].kept >= 2 * measured[0].kept;
  const bool more_in_all = measured[1].peak >= 2 * measured[0].peak;
  row.verdict = more_in_all ? Verdict::holds : more_kept ? Verdict::depends : Verdict::fails;
  row.because = depending(row.verdict, "on what is read") +
                fmt::format(
                    "what autograd keeps grows {}, the peak of the whole step {}. Parameters, gradients and Adam's "
                    "state are as much as {:.1f} % of that peak; a batch of 256 takes {} of batch 1's",
                    times(measured[1].kept, measured[0].kept), times(measured[1].peak, measured[0].peak),
                    100 * static_cast<double>(measured[1].fixed) / static_cast<double>(measured[1].peak),
                    times(measured[2].peak, measured[0].peak));
  row.mechanism =
      "an image adds what is kept of it, 16*30*30 values, and in backward the gradient of that; four values per "
      "parameter (itself, its gradient, two moments) are there whatever the batch is, here as much as some 500 images "
      "keep";
  return row;
}

}  // namespace

std::vector<Row> network_size_lab(const std::string& device) {
  return {filters_row(device),
          batch_row(device),
          half_precision_row(device),
          underflow_row(),
          checkpointed_chain_row(device),
          quantized_weights_row(device),
          largest_batch_row(device)};
}

}  // namespace mnemo::labs
