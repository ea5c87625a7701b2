// Claim D4: replicas of SimpleConv on one, two and four devices, with a batch of 64 in all, and Adam's state sharded.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "labs/initialization.h"
#include "labs/replicas.h"
#include "labs/simple_conv.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::CategoryBytes;
using memory::format_bytes;

constexpr std::int64_t kBatch = 64, kSize = 28;

const models::Spec& network() { return *models::find_spec("simple-conv"); }

/// The batch of a step, on the host.
models::Batch draw(const std::string& device) {
  const DeviceScope host(open_device(Device::open(device, {}).is_virtual() ? "virtual:cpu" : "cpu", {}));
  manual_seed(1);
  return models::random_batch(network(), kBatch, kSize);
}

/// After two steps: what the replica with most of each holds.
struct Measured {
  Bytes parameters = 0, gradients = 0, moments = 0, kept = 0;
  Bytes all_moments = 0;  ///< of all replicas together
  Bytes sent = 0;         ///< in a step
};

Measured measure(const std::string& device, std::size_t count, bool sharded) {
  Replicas replicas(network(), device, count, sharded);
  const models::Batch batch = draw(device);
  for (int step = 0; step < 2; ++step) replicas.step(batch);
  Measured most{.sent = replicas.sent()};
  for (std::size_t i = 0; i < count; ++i) {
    const CategoryBytes held = replicas.device(i).allocator().categories();
    most.parameters = std::max(most.parameters, held_as(held, Category::parameter));
    most.gradients = std::max(most.gradients, held_as(held, Category::gradient));
    most.moments = std::max(most.moments, held_as(held, Category::optimizer_state));
    most.kept = std::max(most.kept, held_as(replicas.forward(i), Category::saved_activation));
    most.all_moments += held_as(held, Category::optimizer_state);
  }
  return most;
}

/// Compares two lists of tensors of equal shapes, value by value.
struct Difference {
  std::int64_t values = 0;  ///< that are not the same
  std::int64_t far = 0;     ///< by more than kRounding
  double largest = 0;       ///< relative to the largest value
};

/// Sums in another order differ in the last of float32's 24 bits; relative to the largest value.
constexpr double kRounding = 1e-5;

Difference compare(const std::vector<Tensor>& expected, const std::vector<Tensor>& found) {
  std::vector<double> a, b;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    for (const double value : expected[k].values<double>()) a.push_back(value);
    for (const double value : found[k].values<double>()) b.push_back(value);
  }
  double scale = 0;
  for (const double value : a) scale = std::max(scale, std::abs(value));
  Difference difference;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double off = std::abs(a[i] - b[i]) / scale;
    difference.values += a[i] == b[i] ? 0 : 1;
    difference.far += off > kRounding ? 1 : 0;
    difference.largest = std::max(difference.largest, off);
  }
  return difference;
}

std::vector<Tensor> gradients(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> list;
  for (const Tensor& parameter : parameters) list.push_back(parameter.grad());
  return list;
}

/// What replicas compute, on the CPU: it takes numbers.
struct Check {
  Difference gradients;       ///< from those of one device with the whole batch
  std::int64_t replicas = 0;  ///< parameter values in which replicas differ, after two steps
  std::int64_t sharded = 0;   ///< the same of replicas with sharded moments, from those without
};

Check check_arithmetic(std::size_t count) {
  Replicas one(network(), "cpu", 1, false), several(network(), "cpu", count, false),
      sharded(network(), "cpu", count, true);
  const models::Batch batch = draw("cpu");
  one.step(batch), several.step(batch), sharded.step(batch);
  Check check;
  check.gradients = compare(gradients(one.parameters(0)), gradients(several.parameters(count - 1)));
  several.step(batch), sharded.step(batch);
  for (std::size_t i = 0; i < count; ++i) {
    check.replicas += compare(several.parameters(0), several.parameters(i)).values;
    check.sharded += compare(several.parameters(0), sharded.parameters(i)).values;
  }
  return check;
}

}  // namespace

Row data_parallel_row(const std::string& device_name) {
  Row row{.claim = "D4",
          .statement = "Data parallelism distributes parameters and activations over the devices.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const Device device = open_device(device_name, {});
  const Bytes parameters = SimpleConvFormula(device, kBatch).parameters();
  // All parameters, or their gradients, once.
  const std::int64_t sent = 4 * (27 * 32 + 32 + 9 * 32 * 64 + 64 + 1600 * 10 + 10);
  const Bytes largest = block_bytes(9 * 32 * 64);  // conv2's weight: more than half of all, so that it is alone
  std::vector<Measured> plain, sharded;
  const std::int64_t counts[] = {1, 2, 4};
  for (const std::int64_t count : counts) {
    const auto of = [count](const char* what) { return fmt::format("{}, devices: {}", what, count); };
    const Measured now = measure(device_name, static_cast<std::size_t>(count), false);
    row.figures.push_back({of("parameters on each"), parameters, now.parameters});
    row.figures.push_back({of("gradients on each"), parameters, now.gradients});
    row.figures.push_back({of("Adam's moments on each"), 2 * parameters, now.moments});
    row.figures.push_back({of("kept by autograd on each"), SimpleConvFormula(device, kBatch / count).kept(), now.kept});
    row.figures.push_back({of("sent in a step, all together"), 2 * (count - 1) * sent, now.sent});
    plain.push_back(now);
    if (count == 1) continue;
    const Measured cut = measure(device_name, static_cast<std::size_t>(count), true);
    row.figures.push_back({of("sharded: parameters on each"), parameters, cut.parameters});
    row.figures.push_back({of("sharded: Adam's moments, the most on one"), 2 * largest, cut.moments});
    row.figures.push_back({of("sharded: Adam's moments, all together"), 2 * parameters, cut.all_moments});
    row.figures.push_back({of("sharded: sent in a step, all together"), 2 * (count - 1) * sent, cut.sent});
    sharded.push_back(cut);
  }
  const Check check = check_arithmetic(4);
  row.figures.push_back({"averaged gradients unlike those of one device (count, on cpu)", 0, check.gradients.far});
  row.figures.push_back({"parameter values that differ between replicas (count, on cpu)", 0, check.replicas});
  row.figures.push_back({"parameter values that differ when sharded (count, on cpu)", 0, check.sharded});

  const Measured &alone = plain.front(), &most = plain.back(), &cut = sharded.back();
  const bool divides_parameters = most.parameters < alone.parameters, divides_activations = most.kept < alone.kept;
  row.verdict = divides_parameters && divides_activations   ? Verdict::holds
                : divides_parameters || divides_activations ? Verdict::depends
                                                            : Verdict::fails;
  row.because = depending(row.verdict, "on what is meant") +
                fmt::format(
                    "on four devices each holds {} of the parameters, {} of the gradients, {} of Adam's moments and {} "
                    "of the kept activations of one. Sharded, the one with the most moments holds {} of them. Replicas "
                    "and a single device with the whole batch have the same gradients up to {:.0e} of the largest",
                    times(most.parameters, alone.parameters), times(most.gradients, alone.gradients),
                    times(most.moments, alone.moments), times(most.kept, alone.kept), times(cut.moments, alone.moments),
                    check.gradients.largest);
  row.mechanism = fmt::format(
      "each replica needs all parameters for its part of the batch, makes all gradients and steps all parameters by "
      "their mean: a model too large for one device is too large for each of several. With one owner for each "
      "parameter (ZeRO, stage 1) the moments are there once in all; whole parameters are shared out here, so that the "
      "largest, conv2's weight, is the bound. 2 (N - 1) times {} travel in a step, through one place or around a ring; "
      "in a ring each device sends 2 (N - 1) / N times that, {} with four",
      format_bytes(sent), format_bytes(2 * 3 * sent / 4));
  return row;
}

}  // namespace mnemo::labs
