#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// The channel's mean and biased variance over batch and sizes.
std::pair<double, double> moments(const Plain& x, std::int64_t channel) {
  double count = 0, sum = 0, squares = 0;
  for_each(x.sizes, [&](const Index& index) {
    if (index[1] == channel) count += 1, sum += x.at(index);
  });
  const double mean = sum / count;
  for_each(x.sizes, [&](const Index& index) {
    if (index[1] == channel) squares += (x.at(index) - mean) * (x.at(index) - mean);
  });
  return {mean, squares / count};
}

constexpr double kEpsilon = 1e-3;

/// Inputs: x, then weight and bias where `affine`, then the running statistics where not `training`.
OpRow batch_norm_row(const Shape& shape, bool training, bool affine) {
  const Shape channels{shape[1]};
  std::vector<Input> inputs{{shape}};
  if (affine) inputs.insert(inputs.end(), {{channels}, {channels}});
  if (!training) inputs.insert(inputs.end(), {{channels, -1, 1, {}, false}, {channels, 0.5, 2, {}, false}});
  const std::size_t statistics = affine ? 3 : 1;
  return {
      std::string("batch_norm ") + shape.text() + (training ? " training" : " evaluation") + (affine ? " affine" : ""),
      inputs,
      [=](const Tensors& x) {
        return batch_norm(x[0], affine ? x[1] : Tensor(), affine ? x[2] : Tensor(), training ? Tensor() : x[statistics],
                          training ? Tensor() : x[statistics + 1], {.training = training, .epsilon = kEpsilon});
      },
      [=](const Plains& x) {
        return filled(x[0].sizes, [&](const Index& index) {
          const auto [mean, variance] = training
                                            ? moments(x[0], index[1])
                                            : std::pair(x[statistics].at({index[1]}), x[statistics + 1].at({index[1]}));
          const double normalized = (x[0].at(index) - mean) / std::sqrt(variance + kEpsilon);
          return affine ? normalized * x[1].at({index[1]}) + x[2].at({index[1]}) : normalized;
        });
      },
      // The variance of a few rounded numbers (expanded: 0) makes half gradients another matter.
      0, false};
}

OpRow softmax_row(Shape shape, int axis, bool logarithm) {
  return {std::string(logarithm ? "log_softmax " : "softmax ") + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return logarithm ? log_softmax(x[0], axis) : softmax(x[0], axis); },
          [=](const Plains& x) {
            const auto along = static_cast<std::size_t>(axis < 0 ? axis + x[0].rank() : axis);
            return filled(x[0].sizes, [&](const Index& index) {
              double total = 0;
              Index other = index;
              for (other[along] = 0; other[along] < x[0].sizes[along]; ++other[along])
                total += std::exp(x[0].at(other));
              return logarithm ? x[0].at(index) - std::log(total) : std::exp(x[0].at(index)) / total;
            });
          }};
}

}  // namespace

TEST_CASE("op rows: batch_norm") {
  std::vector<OpRow> rows;
  for (const Shape& shape : {Shape{7, 3}, Shape{2, 3, 5}, Shape{2, 2, 3, 3}, Shape{3, 1, 2, 2, 3}, Shape{1, 2, 4},
                             Shape{0, 3, 2}, Shape{4, 0}}) {
    for (const bool affine : {true, false}) {
      // Without elements there are no statistics to take, and none are taken.
      rows.push_back(batch_norm_row(shape, true, affine));
      rows.push_back(batch_norm_row(shape, false, affine));
    }
  }
  rows.push_back(batch_norm_row({1, 3}, false, true));
  rows[4].large = {{{6, 40, 300}}, {{40}}, {{40}}};
  check(rows);
}

TEST_CASE(
    "batch_norm: running statistics move by the momentum, the variance unbiased; also where they are a view with "
    "gaps") {
  const Tensor x = tensor<double>({1, 2, 3, 6}, {4, 1});  // mean 3, unbiased variance 14/3
  const Tensor mean = tensor<double>({10}, {1}), variance = tensor<double>({20}, {1});
  (void)batch_norm(x, {}, {}, mean, variance, {.momentum = 0.25});
  CHECK(mean.item() == doctest::Approx(0.75 * 10 + 0.25 * 3));
  CHECK(variance.item() == doctest::Approx(0.75 * 20 + 0.25 * 14 / 3));
  (void)batch_norm(x, {}, {}, mean, variance, {.training = false});
  CHECK(mean.item() == doctest::Approx(0.75 * 10 + 0.25 * 3));

  const Tensor two = concat({x, x * 2.0}, 1);
  const Tensor wide_mean = zeros({4}, {.dtype = DType::float64}), wide_variance = zeros({4}, {.dtype = DType::float64});
  (void)batch_norm(two, {}, {}, slice(wide_mean, 0, 0, 4, 2), slice(wide_variance, 0, 1, 4, 2), {.momentum = 1});
  CHECK(wide_mean.values<double>() == std::vector<double>{3, 0, 6, 0});
  CHECK(wide_variance.values<double>()[0] == 0);
  CHECK(wide_variance.values<double>()[1] == doctest::Approx(14.0 / 3));
}

TEST_CASE("batch_norm: an empty batch leaves the running statistics as they are") {
  const Tensor mean = tensor<double>({1}, {1}), variance = tensor<double>({2}, {1});
  (void)batch_norm(zeros({0, 1}, {.dtype = DType::float64}), {}, {}, mean, variance);
  CHECK(mean.item() == 1);
  CHECK(variance.item() == 2);
}

TEST_CASE("op rows: softmax and log_softmax over each axis") {
  std::vector<OpRow> rows;
  for (const bool logarithm : {false, true}) {
    for (const int axis : {0, 1, 2, -1}) rows.push_back(softmax_row({3, 4, 5}, axis, logarithm));
    rows.push_back(softmax_row({7}, 0, logarithm));
    rows.push_back(softmax_row({3, 1}, 1, logarithm));
    rows.push_back(softmax_row({0, 3}, 1, logarithm));
    rows.push_back(softmax_row({3, 0}, 1, logarithm));
  }
  rows.front().large = {{{31, 40, 70}}};
  check(rows);
}

TEST_CASE("softmax: large inputs neither overflow nor lose their sum") {
  const Tensor x = tensor<double>({1000, 1000, -1000}, {3}, "cpu", true);
  CHECK(softmax(x, 0).values<double>() == std::vector<double>{0.5, 0.5, 0});
  CHECK(log_softmax(x, 0).values<double>()[2] == doctest::Approx(-2000 - std::log(2)));
}

TEST_CASE("op rows: dropout, with the mask that its own forward pass drew") {
  const auto row = [](Shape shape, double p) {
    return OpRow{"dropout",
                 {{shape}},
                 [p](const Tensors& x) { return dropout(x[0], p); },
                 [p](const Plains& x) {
                   // Which elements are kept is read off a pass over ones with the same seed; checked by itself below.
                   manual_seed(5);
                   Dims sizes;
                   for (const std::int64_t size : x[0].sizes) sizes.push_back(size);
                   const auto kept = dropout(ones(Shape(sizes), {.dtype = DType::float64}), p).values<double>();
                   Plain y = x[0];
                   for (std::size_t i = 0; i < kept.size(); ++i) y.values[i] = kept[i] != 0 ? y.values[i] / (1 - p) : 0;
                   return y;
                 },
                 0,
                 true,
                 true,
                 {{{300, 401}}}};
  };
  check({row({3, 5}, 0.5), row({7}, 0.3), row({4, 4, 3}, 0.9), row({0, 2}, 0.5), row({}, 0.5)});
}

TEST_CASE(
    "dropout: the gradient passes exactly where the value did, the expectation is kept, and each call draws anew") {
  manual_seed(3);
  const Tensor x = ones({100000}, {.requires_grad = true});
  const Tensor y = dropout(x, 0.3);
  const auto first = y.values<double>();
  double total = 0, zeros_seen = 0;
  for (const double value : first) total += value, zeros_seen += value == 0;
  // The standard deviation of the share is 0.0014.
  CHECK(std::abs(zeros_seen / 1e5 - 0.3) < 0.008);
  CHECK(std::abs(total / 1e5 - 1) < 0.012);
  sum(y).backward();
  CHECK(x.grad().values<double>() == first);
  CHECK(dropout(x, 0.3).values<double>() != first);
  manual_seed(3);
  CHECK(dropout(x, 0.3).values<double>() == first);

  CHECK(dropout(x, 0.3, false).node() == x.node());
  CHECK(dropout(x, 0).node() == x.node());
  CHECK(sum(dropout(x, 1)).item() == 0);
}

TEST_CASE("dropout: a call that fails draws no random numbers") {
  manual_seed(3);
  CHECK_THROWS_AS(dropout(Tensor(), 0.5), Error);
  CHECK_THROWS_AS(dropout(tensor<std::int64_t>({1, 2}, {2}), 0.5), DTypeError);
  const Device small = Device::open("virtual:20MiB");
  const Tensor x = zeros({3, 1024, 1024}, {.device = small});
  CHECK_THROWS_AS(dropout(x, 0.5), OutOfMemory);
  CHECK(random_state().offset == 0);
}
