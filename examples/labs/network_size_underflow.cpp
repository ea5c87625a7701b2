// Claim B4: gradients too small for float16, and the scaled loss that brings them back. It takes numbers, so that it
// runs on the CPU whatever the lab's device is.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "labs/network_size.h"
#include "models/registry.h"

namespace mnemo::labs {

namespace {

enum class Precision { float64, float32, float16, scaled_float16 };

/// The parameters' gradients, in one list, of a loss that is computed so.
std::vector<double> gradients(const std::vector<Tensor>& parameters, Precision precision,
                              const std::function<Tensor()>& loss) {
  optim::SGD optimizer(parameters);
  optimizer.zero_grad();
  const bool half = precision == Precision::float16 || precision == Precision::scaled_float16;
  optim::GradScaler scaler({.enabled = precision == Precision::scaled_float16});
  {
    const AutocastScope scope(AutocastState{.enabled = half, .dtype = DType::float16});
    scaler.scale(loss()).backward();
  }
  scaler.unscale(optimizer);
  std::vector<double> values;
  for (const Tensor& parameter : parameters) {
    const std::vector<double> one = parameter.grad().values<double>();
    values.insert(values.end(), one.begin(), one.end());
  }
  return values;
}

/// How many are 0 where the exact ones are not.
std::int64_t lost(const std::vector<double>& found, const std::vector<double>& exact) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < found.size(); ++i) count += found[i] == 0 && exact[i] != 0 ? 1 : 0;
  return count;
}

/// A linear layer of 24 inputs, 1, 1/2, ... 2^-23, and 4096 outputs, whose mean is the loss: the gradient of weight i
/// of each output is 2^-(i + 12).
constexpr std::int64_t kInputs = 24, kOutputs = 4096;

std::vector<double> layer_gradients(Precision precision) {
  const DType dtype = precision == Precision::float64 ? DType::float64 : DType::float32;
  std::vector<double> inputs;
  for (int i = 0; i < kInputs; ++i) inputs.push_back(std::ldexp(1.0, -i));
  const Tensor x = to(tensor(inputs, {1, kInputs}), dtype);
  const Tensor weight = zeros({kOutputs, kInputs}, {.dtype = dtype, .requires_grad = true});
  return gradients({weight}, precision, [&] {
    const Tensor y = linear(x, weight);
    return mean(y.dtype() == DType::float16 ? to(y, DType::float32) : y);  // a half loss could not hold the scale
  });
}

/// SmallNetwork after so many steps with Adam on the same four images, which it nearly knows by then.
constexpr int kSteps = 3;

struct Trained {
  std::unique_ptr<models::Model> model;
  models::Batch batch;
};

Trained train_small_network() {
  const models::Spec& spec = *models::find_spec("small-network");
  manual_seed(0);
  Trained trained{spec.make(), models::random_batch(spec, 4, spec.size)};
  optim::Adam optimizer(trained.model->parameters());
  for (int step = 0; step < kSteps; ++step) {
    optimizer.zero_grad();
    models::loss(spec, trained.model->forward(trained.batch.input), trained.batch.targets).backward();
    optimizer.step();
  }
  return trained;
}

std::vector<double> network_gradients(Trained& trained, Precision precision) {
  const models::Spec& spec = *models::find_spec("small-network");
  Tensor input = trained.batch.input;
  if (precision == Precision::float64) {
    trained.model->to(DType::float64);
    input = to(input, DType::float64);
  }
  return gradients(trained.model->parameters(), precision,
                   [&] { return models::loss(spec, trained.model->forward(input), trained.batch.targets); });
}

}  // namespace

Row underflow_row() {
  Row row{.claim = "B4",
          .statement = "In float16 gradients can underflow.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const DeviceScope here(open_device("cpu", {}));
  const std::vector<double> exact = layer_gradients(Precision::float64);
  const std::vector<double> half = layer_gradients(Precision::float16);
  const std::vector<double> scaled = layer_gradients(Precision::scaled_float16);
  // 2^-24 is float16's smallest number; half of it rounds to 0.
  const std::int64_t too_small = kInputs - (24 - 12 + 1);
  const auto add = [&row](const char* what, std::optional<std::int64_t> predicted, std::int64_t count) {
    row.figures.push_back({what + std::string(" (count, on cpu)"), predicted, count});
  };
  add("gradients of a layer, 2^-12 to 2^-35", kOutputs * kInputs, static_cast<std::int64_t>(exact.size()));
  add("of them 0 in float32", 0, lost(layer_gradients(Precision::float32), exact));
  const std::int64_t zeros = lost(half, exact);
  add("of them 0 in float16", kOutputs * too_small, zeros);
  add("of them 0 in float16, loss scaled by 65536", 0, lost(scaled, exact));
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) wrong += scaled[i] == exact[i] ? 0 : 1;
  add("of them not those of float64, loss scaled by 65536", 0, wrong);

  Trained trained = train_small_network();
  const std::vector<double> network_single = network_gradients(trained, Precision::float32);
  const std::vector<double> network_half = network_gradients(trained, Precision::float16);
  const std::vector<double> network_scaled = network_gradients(trained, Precision::scaled_float16);
  const std::vector<double> network_exact = network_gradients(trained, Precision::float64);  // casts the model
  const auto nonzero = static_cast<std::int64_t>(
      std::count_if(network_exact.begin(), network_exact.end(), [](double value) { return value != 0; }));
  add("gradients of SmallNetwork that float64 has not as 0", {}, nonzero);
  add("SmallNetwork: of them 0 in float32", {}, lost(network_single, network_exact));
  const std::int64_t network_zeros = lost(network_half, network_exact);
  add("SmallNetwork: of them 0 in float16", {}, network_zeros);
  const std::int64_t left = lost(network_scaled, network_exact);
  add("SmallNetwork: of them 0 in float16, loss scaled by 65536", {}, left);

  row.verdict = zeros > 0 && network_zeros > 0 ? Verdict::holds : zeros > 0 ? Verdict::depends : Verdict::fails;
  row.because = fmt::format(
      "{} of {} gradients of the layer are 0 without a scale, and {} with it; of SmallNetwork's, after {} steps on "
      "four images, {:.1f} % and {:.1f} %",
      zeros, exact.size(), lost(scaled, exact), kSteps,
      100 * static_cast<double>(network_zeros) / static_cast<double>(nonzero),
      100 * static_cast<double>(left) / static_cast<double>(nonzero));
  row.mechanism =
      "float16 has nothing between 0 and 2^-24 = 6.0e-8, and few digits below 2^-14. optim::GradScaler multiplies the "
      "loss, and with it every gradient, by 2^16, and divides the float32 gradients of the parameters by it again. "
      "bfloat16 has float32's range and needs no scale. These figures are of real numbers, so the CPU computed them "
      "whatever device was asked for";
  return row;
}

}  // namespace mnemo::labs
