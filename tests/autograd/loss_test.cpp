#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// Logits (N, C, sizes...), targets (N, sizes...): the definition with the smoothed target distribution written out.
Plain cross_entropy_reference(const Plains& x, const CrossEntropyOptions& options) {
  const Plain &logits = x[0], &targets = x[1];
  const bool single = logits.rank() == 1;
  const std::int64_t classes = logits.size(single ? 0 : 1);
  double counted = 0, total = 0;
  const Plain losses = filled(targets.sizes, [&](const Index& index) {
    const auto target = static_cast<std::int64_t>(targets.at(index));
    if (options.ignore_index && target == *options.ignore_index) return 0.0;
    counted += 1;
    Index at = index;
    at.insert(at.begin() + (single ? 0 : 1), 0);
    std::int64_t& axis = at[single ? 0 : 1];
    double normalizer = 0, loss = 0;
    for (axis = 0; axis < classes; ++axis) normalizer += std::exp(logits.at(at));
    for (axis = 0; axis < classes; ++axis) {
      const double wanted =
          options.label_smoothing / static_cast<double>(classes) + (axis == target ? 1 - options.label_smoothing : 0);
      loss -= wanted * (logits.at(at) - std::log(normalizer));
    }
    total += loss;
    return loss;
  });
  if (options.reduction == Reduction::none) return losses;
  return Plain({}, {options.reduction == Reduction::mean ? total / counted : total});
}

OpRow cross_entropy_row(std::string name, Shape logits, Shape targets, std::vector<std::int64_t> values,
                        CrossEntropyOptions options) {
  return {std::move(name),
          {{logits}, {targets, 0, 0, std::move(values)}},
          [options](const Tensors& x) { return cross_entropy(x[0], x[1], options); },
          [options](const Plains& x) { return cross_entropy_reference(x, options); }};
}

}  // namespace

TEST_CASE("op rows: cross_entropy") {
  std::vector<OpRow> rows;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      const CrossEntropyOptions plain{reduction, smoothing, {}};
      rows.push_back(cross_entropy_row("(N, C)", {4, 5}, {4}, {0, 4, 2, 2}, plain));
      rows.push_back(
          cross_entropy_row("(N, C, d1, d2)", {2, 3, 2, 3}, {2, 2, 3}, {0, 1, 2, 2, 1, 0, 0, 0, 1, 1, 2, 2}, plain));
      rows.push_back(cross_entropy_row("(N, C) ignoring 2", {4, 5}, {4}, {0, 4, 2, 2}, {reduction, smoothing, 2}));
      rows.push_back(cross_entropy_row("(N, C, d) ignoring -100", {2, 3, 2}, {2, 2}, {-100, 1, 2, -100},
                                       {reduction, smoothing, -100}));
      rows.push_back(cross_entropy_row("(C)", {5}, {}, {3}, plain));
      rows.push_back(cross_entropy_row("(1, 1)", {1, 1}, {1}, {0}, plain));
    }
  }
  std::vector<std::int64_t> many(4000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int64_t>(i * 7 % 30);
  rows.front().large = {{{4000, 30}}, {{4000}, 0, 0, many}};
  check(rows);
}

namespace {

Plain reduced(const Plain& losses, Reduction reduction) {
  if (reduction == Reduction::none) return losses;
  double total = 0;
  for (const double loss : losses.values) total += loss;
  return Plain({}, {reduction == Reduction::mean ? total / static_cast<double>(losses.numel()) : total});
}

constexpr Reduction kReductions[] = {Reduction::mean, Reduction::sum, Reduction::none};

struct PairLoss {
  const char* name;
  std::function<Tensor(const Tensor&, const Tensor&, Reduction)> op;
  double (*reference)(double, double);
  double low = -2, high = 2;  // of the target
};

/// Every reduction on several shapes.
std::vector<OpRow> rows_of(const PairLoss& loss) {
  std::vector<OpRow> rows;
  for (const Reduction reduction : kReductions) {
    for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{1}, Shape{2, 3, 4}}) {
      rows.push_back({loss.name + shape.text(),
                      {{shape}, {shape, loss.low, loss.high}},
                      [=](const Tensors& x) { return loss.op(x[0], x[1], reduction); },
                      [=](const Plains& x) { return reduced(mapped(x[0], x[1], loss.reference), reduction); }});
    }
  }
  rows.front().large = {{{300, 401}}, {{300, 401}, loss.low, loss.high}};
  return rows;
}

double huber(double d, double delta) { return std::fabs(d) <= delta ? d * d / 2 : delta * (std::fabs(d) - delta / 2); }

}  // namespace

TEST_CASE("op rows: losses by the difference") {
  check(rows_of({"mse_loss ", mse_loss, [](double p, double t) { return (p - t) * (p - t); }}));
  check(rows_of({"l1_loss ", l1_loss, [](double p, double t) { return std::fabs(p - t); }}));
  const auto smooth = [](double beta) {
    return [beta](const Tensor& p, const Tensor& t, Reduction r) { return smooth_l1_loss(p, t, beta, r); };
  };
  check(rows_of({"smooth_l1_loss ", smooth(0.7), [](double p, double t) { return huber(p - t, 0.7) / 0.7; }}));
  check(rows_of({"smooth_l1_loss 0 ", smooth(0), [](double p, double t) { return std::fabs(p - t); }}));
  check(rows_of({"huber_loss ", [](const Tensor& p, const Tensor& t, Reduction r) { return huber_loss(p, t, 1.3, r); },
                 [](double p, double t) { return huber(p - t, 1.3); }}));
}

TEST_CASE("op rows: binary_cross_entropy_with_logits and kl_div") {
  check(rows_of(
      {"binary_cross_entropy_with_logits ",
       [](const Tensor& x, const Tensor& t, Reduction r) { return binary_cross_entropy_with_logits(x, t, {r}); },
       [](double x, double t) {
         const double p = 1 / (1 + std::exp(-x));
         return -t * std::log(p) - (1 - t) * std::log(1 - p);
       },
       0, 1}));
  check(rows_of({"kl_div ", kl_div, [](double p, double t) { return t * (std::log(t) - p); }, 0.1, 1}));
}

TEST_CASE("binary_cross_entropy_with_logits: logits of any size; kl_div: nothing where the target is 0") {
  const Tensor x = tensor<float>({1e30F, -1e30F, 1e30F, -1e30F, 50}, {5}, "cpu", true);
  const Tensor t = tensor<float>({1, 0, 0, 1, 1}, {5});
  const Tensor losses = binary_cross_entropy_with_logits(x, t, {Reduction::none});
  CHECK(losses.values<float>() == std::vector<float>{0, 0, 1e30F, 1e30F, 0});
  sum(losses).backward();
  CHECK(x.grad().values<float>() == std::vector<float>{0, 0, 1, -1, 0});

  const Tensor p = tensor<double>({-1, -2}, {2}, "cpu", true), some = tensor<double>({0, 0.5}, {2}, "cpu", true);
  kl_div(p, some, Reduction::sum).backward();
  CHECK(p.grad().values<double>() == std::vector<double>{-0.0, -0.5});
  CHECK(some.grad().values<double>()[1] == doctest::Approx(std::log(0.5) + 1 + 2).epsilon(1e-14));
  CHECK(std::isfinite(some.grad().values<double>()[0]));
}

TEST_CASE("op rows: nll_loss") {
  const auto row = [](Shape logs, Shape targets, std::vector<std::int64_t> values, NllLossOptions options) {
    return OpRow{"nll_loss " + logs.text(),
                 {{logs}, {targets, 0, 0, std::move(values)}},
                 [=](const Tensors& x) { return nll_loss(x[0], x[1], options); },
                 [=](const Plains& x) {
                   double counted = 0;
                   const Plain losses = filled(x[1].sizes, [&](Index index) {
                     const auto target = static_cast<std::int64_t>(x[1].at(index));
                     if (options.ignore_index && target == *options.ignore_index) return 0.0;
                     counted += 1;
                     index.insert(index.begin() + (x[0].rank() == 1 ? 0 : 1), target);
                     return -x[0].at(index);
                   });
                   if (options.reduction != Reduction::mean) return reduced(losses, options.reduction);
                   return Plain({}, {reduced(losses, Reduction::sum).values[0] / counted});
                 }};
  };
  std::vector<OpRow> rows;
  for (const Reduction reduction : kReductions) {
    rows.push_back(row({4, 5}, {4}, {0, 4, 2, 2}, {reduction, {}}));
    rows.push_back(row({4, 5}, {4}, {0, 4, 2, 2}, {reduction, 2}));
    rows.push_back(row({2, 3, 2, 2}, {2, 2, 2}, {-100, 1, 2, -100, 0, 0, 1, 1}, {reduction, -100}));
    rows.push_back(row({5}, {}, {3}, {reduction, {}}));
  }
  check(rows);
}

TEST_CASE("in_top_k: how many logits are larger than the target's decides, and what is not a number is no hit") {
  const double nan = std::nan("");
  const Tensor x = tensor<double>({1, 2, 3, 3, 2, 1, 2, 2, 0, nan, 1, 2, 0, nan, 2}, {5, 3});
  const Tensor y = tensor<std::int64_t>({1, 0, 1, 0, 2}, {5});
  CHECK(in_top_k(x, y).values<bool>() == std::vector<bool>{false, true, true, false, false});
  CHECK(in_top_k(x, y, 2).values<bool>() == std::vector<bool>{true, true, true, false, true});
  CHECK(mean(to(in_top_k(x, y, 2), DType::float64)).item() == 0.8);
  // (N, classes, places)
  const Tensor places = tensor<float>({5, 1, 4, 2, 0, 9, 3, 8}, {2, 2, 2});
  CHECK(in_top_k(places, tensor<std::int64_t>({0, 1, 1, 1}, {2, 2})).values<bool>() ==
        std::vector<bool>{true, true, true, false});
  CHECK(in_top_k(tensor<float>({1, 2}, {2}), tensor<std::int64_t>({1}, {})).item() == 1);
  CHECK_THROWS_WITH_AS((void)in_top_k(x, y, 0), doctest::Contains("[in_top_k] k is 0"), ShapeError);
  CHECK_THROWS_WITH_AS((void)in_top_k(x, places), doctest::Contains("float32"), DTypeError);
  CHECK_THROWS_WITH_AS((void)in_top_k(places, y), doctest::Contains("logits (2, 2, 2) are (N, classes, sizes...)"),
                       ShapeError);
}

TEST_CASE("losses keep what their documentation says") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor prediction = randn({512, 64}, {.requires_grad = true}) * 1.0, target = rand({512, 64}) * 1.0;
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
  };
  const memory::Bytes bytes = 512 * 64 * 4;
  for (const auto& loss : {mse_loss, l1_loss}) {
    const Tensor value = loss(prediction, target, Reduction::mean);
    CHECK(saved() == bytes);  // the difference
  }
  {
    const Tensor value = huber_loss(prediction, target);
    CHECK(saved() == bytes);
  }
  {
    const Tensor value = binary_cross_entropy_with_logits(prediction, target);
    CHECK(saved() == 2 * bytes);
  }
  {
    const Tensor value = kl_div(prediction, target);
    CHECK(saved() == bytes);
  }
  CHECK(saved() == 0);
}

TEST_CASE("the mean of no losses is not a number, as of no numbers at all") {
  const Tensor logits = zeros({0, 3}, {.requires_grad = true});
  CHECK(std::isnan(cross_entropy(logits, Tensor(Array(Shape{0}, DType::int64))).item()));
  const Tensor some = zeros({1, 3}, {.requires_grad = true});
  CHECK(std::isnan(cross_entropy(some, tensor<std::int64_t>({1}, {1}), {.ignore_index = 1}).item()));
  CHECK(cross_entropy(some, tensor<std::int64_t>({1}, {1}), {.reduction = Reduction::sum, .ignore_index = 1}).item() ==
        0);
  CHECK(std::isnan(mse_loss(zeros({0}), zeros({0})).item()));
}
