// Losses in which classes, targets or elements count more or less than others.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

const std::vector<double> kWeights{0.5, 2, 1.25, 0, 3};

/// The weights of so many classes, in a tensor beside x.
Tensor weights(const Tensor& x, std::int64_t classes) {
  return to(tensor<double>({kWeights.begin(), kWeights.begin() + classes}, {classes}, x.device()), x.dtype());
}

/// The place of a target's class in logits (N, C, sizes...) or (C).
Index at_class(Index target, std::int64_t c, const Plain& logits) {
  target.insert(target.begin() + (logits.rank() == 1 ? 0 : 1), c);
  return target;
}

std::int64_t classes_of(const Plain& logits) { return logits.size(logits.rank() == 1 ? 0 : 1); }

/// loss(target's place, its class) of every target, and their mean over the weights of those that are not ignored.
Plain reduced(const Plain& targets, const CrossEntropyOptions& options,
              const std::function<double(const Index&, std::int64_t)>& loss) {
  double total = 0, counted = 0;
  const Plain losses = filled(targets.sizes, [&](const Index& index) {
    const auto target = static_cast<std::int64_t>(targets.at(index));
    if (options.ignore_index && target == *options.ignore_index) return 0.0;
    const double own = loss(index, target);
    total += own, counted += kWeights[static_cast<std::size_t>(target)];
    return own;
  });
  if (options.reduction == Reduction::none) return losses;
  return Plain({}, {options.reduction == Reduction::mean ? total / counted : total});
}

OpRow cross_entropy_row(Shape logits, Shape targets, std::vector<std::int64_t> values, CrossEntropyOptions options) {
  return {"weighted cross_entropy " + logits.text(),
          {{logits}, {targets, 0, 0, std::move(values)}},
          [=](const Tensors& x) {
            CrossEntropyOptions own = options;
            own.weight = weights(x[0], x[0].size(x[0].rank() == 1 ? 0 : 1));
            return cross_entropy(x[0], x[1], own);
          },
          [=](const Plains& x) {
            return reduced(x[1], options, [&](const Index& index, std::int64_t target) {
              const std::int64_t classes = classes_of(x[0]);
              double normalizer = 0, loss = 0;
              for (std::int64_t c = 0; c < classes; ++c) normalizer += std::exp(x[0].at(at_class(index, c, x[0])));
              for (std::int64_t c = 0; c < classes; ++c) {
                const double share = options.label_smoothing / static_cast<double>(classes) +
                                     (c == target ? 1 - options.label_smoothing : 0);
                loss -= kWeights[static_cast<std::size_t>(c)] * share *
                        (x[0].at(at_class(index, c, x[0])) - std::log(normalizer));
              }
              return loss;
            });
          }};
}

OpRow nll_row(Shape logs, Shape targets, std::vector<std::int64_t> values, NllLossOptions options) {
  return {"weighted nll_loss " + logs.text(),
          {{logs}, {targets, 0, 0, std::move(values)}},
          [=](const Tensors& x) {
            NllLossOptions own = options;
            own.weight = weights(x[0], x[0].size(x[0].rank() == 1 ? 0 : 1));
            return nll_loss(x[0], x[1], own);
          },
          [=](const Plains& x) {
            return reduced(
                x[1], {options.reduction, 0, options.ignore_index}, [&](const Index& index, std::int64_t target) {
                  return -kWeights[static_cast<std::size_t>(target)] * x[0].at(at_class(index, target, x[0]));
                });
          }};
}

constexpr Reduction kReductions[] = {Reduction::mean, Reduction::sum, Reduction::none};

}  // namespace

TEST_CASE("op rows: cross_entropy with weights of classes") {
  std::vector<OpRow> rows;
  for (const Reduction reduction : kReductions) {
    for (const double smoothing : {0.0, 0.2}) {
      rows.push_back(cross_entropy_row({4, 5}, {4}, {0, 4, 2, 2}, {reduction, smoothing}));
      rows.push_back(
          cross_entropy_row({2, 3, 2, 3}, {2, 2, 3}, {0, 1, 2, 2, 1, 0, 0, 0, 1, 1, 2, 2}, {reduction, smoothing}));
      rows.push_back(cross_entropy_row({2, 3, 2}, {2, 2}, {-100, 1, 2, -100}, {reduction, smoothing, -100}));
      rows.push_back(cross_entropy_row({5}, {}, {1}, {reduction, smoothing}));
    }
  }
  std::vector<std::int64_t> many(4000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int64_t>(i * 7 % 5);
  rows.front().large = rows[4].large = {{{4000, 5}}, {{4000}, 0, 0, many}};
  check(rows);
}

TEST_CASE("op rows: nll_loss with weights of classes") {
  std::vector<OpRow> rows;
  for (const Reduction reduction : kReductions) {
    rows.push_back(nll_row({4, 5}, {4}, {0, 4, 2, 2}, {reduction}));
    rows.push_back(nll_row({4, 5}, {4}, {0, 4, 2, 2}, {reduction, 2}));
    rows.push_back(nll_row({2, 3, 2, 2}, {2, 2, 2}, {-100, 1, 2, -100, 0, 0, 1, 1}, {reduction, -100}));
    rows.push_back(nll_row({5}, {}, {4}, {reduction}));
  }
  check(rows);
}

namespace {

/// Both weights as further inputs, which take part in no gradient.
OpRow binary_row(Reduction reduction, Shape shape, Shape weight, Shape positive) {
  const auto options = [=](const Tensors& x) { return BinaryCrossEntropyOptions{reduction, x[2], x[3]}; };
  return {"weighted binary_cross_entropy_with_logits " + shape.text(),
          {{shape}, {shape, 0, 1}, {weight, 0.5, 3, {}, false}, {positive, 0.5, 3, {}, false}},
          [=](const Tensors& x) { return binary_cross_entropy_with_logits(x[0], x[1], options(x)); },
          [=](const Plains& x) {
            double total = 0;
            const Plain losses = filled(x[0].sizes, [&](const Index& index) {
              const double p = 1 / (1 + std::exp(-x[0].at(index))), t = x[1].at(index);
              const double loss = x[3].broadcast_at(index) * t * std::log(p) + (1 - t) * std::log(1 - p);
              total -= x[2].broadcast_at(index) * loss;
              return -x[2].broadcast_at(index) * loss;
            });
            if (reduction == Reduction::none) return losses;
            return Plain({}, {reduction == Reduction::mean ? total / static_cast<double>(losses.numel()) : total});
          }};
}

}  // namespace

TEST_CASE("op rows: binary_cross_entropy_with_logits with weights") {
  std::vector<OpRow> rows;
  for (const Reduction reduction : kReductions) {
    rows.push_back(binary_row(reduction, {3, 5}, {3, 1}, {5}));
    rows.push_back(binary_row(reduction, {2, 3, 4}, {2, 3, 4}, {}));
    rows.push_back(binary_row(reduction, {}, {}, {}));
  }
  rows.front().large = {{{300, 401}}, {{300, 401}, 0, 1}, {{300, 1}, 0.5, 3, {}, false}, {{401}, 0.5, 3, {}, false}};
  check(rows);
}

TEST_CASE("weights by hand: a mean divides by the weights of the targets, and by the number of elements") {
  // Two classes of equal logits: every logarithm is log 2.
  const Tensor x = tensor<double>({0, 0, 0, 0, 0, 0}, {3, 2}, "cpu", true);
  const Tensor y = tensor<std::int64_t>({0, 1, 1}, {3}), w = tensor<double>({1, 3}, {2});
  const double log2 = std::log(2);
  CHECK(cross_entropy(x, y, {.weight = w}).item() == doctest::Approx(log2).epsilon(1e-15));
  CHECK(cross_entropy(x, y, {.reduction = Reduction::sum, .weight = w}).item() == doctest::Approx(7 * log2));
  // Smoothed by a half each target asks for (3/4, 1/4) of its own class and of the other one: 1.5 and twice 2.5, of 7.
  const Tensor smooth = cross_entropy(x, y, {.label_smoothing = 0.5, .weight = w});
  CHECK(smooth.item() == doctest::Approx((1.5 + 2 * 2.5) / 7 * log2).epsilon(1e-15));
  smooth.backward();
  // Of target 0: 1.5 in all, half of it for each class, less 0.75 and 0.75. Of target 1: 2.5 / 2 less 0.25 and 2.25.
  const std::vector<double> expected{0, 0, 1.0 / 7, -1.0 / 7, 1.0 / 7, -1.0 / 7};
  for (std::size_t i = 0; i < 6; ++i) CHECK(x.grad().values<double>()[i] == doctest::Approx(expected[i]));
  // So many that their sum, and their number, are no float16.
  const Tensor half = full({70000, 2}, -1.0, {.dtype = DType::float16}), ends = ones({70000}, {.dtype = DType::int64});
  for (const NllLossOptions& options : {NllLossOptions{.ignore_index = -100}, NllLossOptions{.weight = w}})
    CHECK(nll_loss(half, ends, options).item() == 1);
  // A positive target of weight 3 and a negative one, of 2 elements.
  const Tensor one = tensor<double>({0, 0}, {2}), t = tensor<double>({1, 0}, {2});
  const Tensor loss = binary_cross_entropy_with_logits(one, t, {.pos_weight = tensor<double>({3}, {})});
  CHECK(loss.item() == doctest::Approx(4 * log2 / 2).epsilon(1e-15));
}

TEST_CASE("weights keep what their documentation says, and take little beside it") {
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const auto saved = [&] {
      return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
    };
    const Tensor x = zeros({512, 64}, {.requires_grad = true}), y = zeros({512}, {.dtype = DType::int64}),
                 w = ones({64});
    const Tensor logits = x * 1.0;
    const memory::Bytes bytes = 512 * 64 * 4, before = device.allocator().allocated();
    device.allocator().reset_peak();
    {
      const Tensor loss = cross_entropy(logits, y, {.label_smoothing = 0.1, .weight = w});
      // The logits, and of the targets' weights the sum; targets and weights are the caller's own.
      CHECK(saved() == bytes + 512);
      // The losses and the targets' weights; a sum of each, and their quotient.
      CHECK(device.allocator().peak().allocated - before <= 2 * 2048 + 4 * 512);
    }
    const Tensor loss = binary_cross_entropy_with_logits(logits, ones({512, 64}) * 1.0, {.weight = w, .pos_weight = w});
    CHECK(saved() == 2 * bytes);
  }
}

TEST_CASE("weights that do not fit are errors that say what does") {
  const Tensor x = zeros({4, 5}), y = zeros({4}, {.dtype = DType::int64}), w = ones({4});
  for (const auto& [loss, call] : {std::pair<const char*, std::function<void()>>{
                                       "[cross_entropy]", [&] { (void)cross_entropy(x, y, {.weight = w}); }},
                                   {"[nll_loss]", [&] { (void)nll_loss(x, y, {.weight = w}); }}}) {
    CHECK_THROWS_WITH_AS(
        call(),
        doctest::Contains((std::string(loss) + " weight (4) must be (5): one number for each class of (4, 5)").c_str()),
        ShapeError);
  }
  CHECK_THROWS_WITH_AS((void)cross_entropy(x, y, {.weight = y}), doctest::Contains("int64"), DTypeError);
  CHECK_THROWS_AS((void)cross_entropy(x, y, {.weight = ones({5}, {.device = Device("virtual:cpu")})}), DeviceError);
  CHECK_THROWS_WITH_AS((void)binary_cross_entropy_with_logits(x, x, {.pos_weight = ones({3, 4, 5})}),
                       doctest::Contains("pos_weight (3, 4, 5) does not broadcast to the logits (4, 5)"), ShapeError);
  CHECK_THROWS_AS((void)binary_cross_entropy_with_logits(x, x, {.weight = ones({3})}), ShapeError);
  CHECK_THROWS_AS((void)binary_cross_entropy_with_logits(x, x, {.weight = y}), DTypeError);
}
