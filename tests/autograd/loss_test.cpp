#include <doctest/doctest.h>

#include <cmath>

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

TEST_CASE("op rows: mse_loss") {
  std::vector<OpRow> rows;
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{1}, Shape{2, 3, 4}}) {
    rows.push_back({"mse_loss " + shape.text(),
                    {{shape}, {shape}},
                    [](const Tensors& x) { return mse_loss(x[0], x[1]); },
                    [](const Plains& x) {
                      double total = 0;
                      for (std::size_t i = 0; i < x[0].values.size(); ++i)
                        total += std::pow(x[0].values[i] - x[1].values[i], 2);
                      return Plain({}, {total / static_cast<double>(x[0].numel())});
                    }});
  }
  rows.front().large = {{{300, 401}}, {{300, 401}}};
  check(rows);
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
