// The initialization lab: SimpleConv with Adam, what exists at which moment (claims D1 to D5).
#include "labs/initialization.h"

#include <algorithm>

#include <fmt/format.h>

#include "labs/flat_network.h"
#include "labs/simple_conv.h"
#include "labs/training_bytes.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::CategoryBytes;
using memory::format_bytes;

constexpr std::int64_t kBatch = 64, kSize = 28;

/// Who holds what at a moment of a program.
struct Snapshot {
  const char* when;
  Bytes parameters, activations, gradients, moments, allocated;
};

Snapshot take(const char* when, const Device& device) {
  const CategoryBytes held = device.allocator().categories();
  return {when,
          held_as(held, Category::parameter),
          held_as(held, Category::saved_activation) + held_as(held, Category::live_activation),
          held_as(held, Category::gradient),
          held_as(held, Category::optimizer_state),
          device.allocator().allocated()};
}

/// A program from its beginning to the end of its first step.
std::vector<Snapshot> run_program(const std::string& name) {
  const Device device = open_device(name, exact_blocks());
  const DeviceScope here(device);
  manual_seed(0);
  const models::Spec& spec = *models::find_spec("simple-conv");
  std::vector<Snapshot> moments;
  const auto model = spec.make();
  moments.push_back(take("after the model is made", device));
  optim::Adam optimizer(model->parameters());
  moments.push_back(take("after the optimizer is made", device));
  const models::Batch batch = models::random_batch(spec, kBatch, kSize);
  const Tensor output = model->forward(batch.input), loss = models::loss(spec, output, batch.targets);
  moments.push_back(take("after the first forward", device));
  loss.backward();
  moments.push_back(take("after the first backward", device));
  optimizer.step();
  moments.push_back(take("after the first step", device));
  return moments;
}

Row construction_row(const std::string& device_name) {
  Row row{.claim = "D1",
          .statement = "Initialization allocates activations, gradients and optimizer state besides the parameters.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const Device device = open_device(device_name, {});
  const SimpleConvFormula formula(device, kBatch);
  const Bytes parameters = formula.parameters(), batch = formula.images() + block_bytes(kBatch, 8);
  const Bytes results =
      block_bytes(kBatch * 10) + block_bytes(1);  // output and loss, as long as the program holds them
  const Snapshot expected[] = {
      {"", parameters, 0, 0, 0, parameters},
      {"", parameters, 0, 0, 0, parameters},
      {"", parameters, formula.kept() + results, 0, 0, parameters + batch + formula.kept() + results},
      {"", parameters, results, parameters, 0, 2 * parameters + batch + results},
      {"", parameters, results, parameters, 2 * parameters, 4 * parameters + batch + results}};
  const std::vector<Snapshot> moments = run_program(device_name);
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const Snapshot& now = moments[i];
    const auto of = [&now](const char* what) { return fmt::format("{}, {}", what, now.when); };
    row.figures.push_back({of("parameters"), expected[i].parameters, now.parameters});
    row.figures.push_back({of("activations"), expected[i].activations, now.activations});
    row.figures.push_back({of("gradients"), expected[i].gradients, now.gradients});
    row.figures.push_back({of("Adam's moments"), expected[i].moments, now.moments});
    row.figures.push_back({of("allocated"), expected[i].allocated, now.allocated});
  }
  const Snapshot& made = moments[1];
  const int early = (made.activations > 0 ? 1 : 0) + (made.gradients > 0 ? 1 : 0) + (made.moments > 0 ? 1 : 0);
  row.verdict = early == 3 ? Verdict::holds : early == 0 ? Verdict::fails : Verdict::depends;
  row.because = fmt::format(
      "when model and optimizer are made, {} are allocated, {} of them parameters. {} of activations come with the "
      "first forward pass, {} of gradients with the first backward, {} of moments with the first step; {} are there at "
      "its end",
      format_bytes(made.allocated), format_bytes(made.parameters), format_bytes(moments[2].activations),
      format_bytes(moments[3].gradients), format_bytes(moments[4].moments), format_bytes(moments[4].allocated));
  row.mechanism =
      "a constructor makes the values that it draws, and nothing depends on the batch before there is one. A gradient "
      "is made when backward has the first value for it, a moment when the first step needs it. What does not fit "
      "while the model is made is its parameters; whatever else does not fit fails in the first step";
  return row;
}

Row smaller_batch_row(const std::string& device_name) {
  Row row{.claim = "D2",
          .statement = "Batch 16 instead of 64 significantly reduces memory.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const training::TrainerOptions adam{.rule = training::Rule::adam};
  struct Measured {
    Bytes kept, peak;
  };
  const auto measure = [&](const char* model, std::int64_t batch, const auto& formula, Bytes kept) {
    // SmallNetwork would take a CPU too long.
    const TrainingBytes step = measure_training(*models::find_spec(model), adam, batch, shape_only(device_name));
    const Measured measured{held_as(step.forward, Category::saved_activation), step.peak.allocated};
    row.figures.push_back({fmt::format("kept by autograd, {}, batch {}", model, batch), kept, measured.kept});
    row.figures.push_back(
        {fmt::format("peak of a step, {}, batch {}", model, batch), formula.step_peak(), measured.peak});
    return measured;
  };
  const Device device = open_device(shape_only(device_name), {});
  std::vector<Measured> light, heavy;
  for (const std::int64_t batch : {64, 16}) {
    const SimpleConvFormula simple(device, batch);
    const FlatNetworkFormula flat(device, 16, batch);
    light.push_back(measure("simple-conv", batch, simple, simple.kept()));
    heavy.push_back(measure("small-network", batch, flat, flat.plane()));
  }
  const auto halves = [](Bytes before, Bytes now) { return 2 * now <= before; };
  const bool kept = halves(light[0].kept, light[1].kept) && halves(heavy[0].kept, heavy[1].kept);
  const bool light_peak = halves(light[0].peak, light[1].peak), heavy_peak = halves(heavy[0].peak, heavy[1].peak);
  row.verdict = light_peak && heavy_peak ? Verdict::holds : kept ? Verdict::depends : Verdict::fails;
  row.because = depending(row.verdict, "on the network") +
                fmt::format(
                    "what autograd keeps falls to {} and {}; the peak of a step to {} in simple-conv, which has few "
                    "parameters, and to {} in small-network, which has many",
                    times(light[1].kept, light[0].kept), times(heavy[1].kept, heavy[0].kept),
                    times(light[1].peak, light[0].peak), times(heavy[1].peak, heavy[0].peak));
  row.mechanism =
      "activations, their gradients and the images are a quarter; parameters, their gradients and Adam's moments, four "
      "values per parameter, are what they were. The gradients of parameters do not depend on the batch";
  return row;
}

}  // namespace

std::vector<Row> initialization_lab(const std::string& device) {
  return {construction_row(device), smaller_batch_row(device), no_grad_row(device), data_parallel_row(device),
          pruning_row(device)};
}

}  // namespace mnemo::labs
