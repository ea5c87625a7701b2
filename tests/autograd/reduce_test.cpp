#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// Folds x over the axes, by the definition: every element goes to the place that its other coordinates name.
Plain folded(const Plain& x, const std::set<int>& axes, bool keep, double start,
             const std::function<double(double, double)>& fold) {
  Index sizes;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!axes.count(axis))
      sizes.push_back(x.size(axis));
    else if (keep)
      sizes.push_back(1);
  }
  Plain result = filled(sizes, [&](const Index&) { return start; });
  for_each(x.sizes, [&](const Index& index) {
    Index to;
    for (int axis = 0; axis < x.rank(); ++axis) {
      if (!axes.count(axis))
        to.push_back(index[static_cast<std::size_t>(axis)]);
      else if (keep)
        to.push_back(0);
    }
    result.at(to) = fold(result.at(to), x.at(index));
  });
  return result;
}

double add(double a, double b) { return a + b; }

OpRow row(std::string name, Shape shape, std::function<Tensor(const Tensor&)> op, std::set<int> axes, bool keep,
          bool mean) {
  return {name + shape.text(),
          {{shape}},
          [op](const Tensors& x) { return op(x[0]); },
          [axes, keep, mean](const Plains& x) {
            const Plain sum = folded(x[0], axes, keep, 0, add);
            double count = 1;
            for (int axis : axes) count *= static_cast<double>(x[0].size(axis));
            return mean ? mapped(sum, [count](double value) { return value / count; }) : sum;
          }};
}

OpRow extreme(std::string name, Shape shape, int axis, bool keep, bool largest) {
  return {name,
          {{shape}},
          [=](const Tensors& x) { return largest ? max(x[0], axis, keep) : min(x[0], axis, keep); },
          [=](const Plains& x) {
            const int positive = axis < 0 ? axis + x[0].rank() : axis;
            const double start = largest ? -INFINITY : INFINITY;
            return folded(x[0], {positive}, keep, start,
                          [=](double a, double b) { return largest ? std::max(a, b) : std::min(a, b); });
          },
          0,
          false,
          axis != 0};
}

}  // namespace

TEST_CASE("op rows: sum and mean") {
  std::vector<OpRow> rows{
      row(
          "sum ", {}, [](const Tensor& x) { return sum(x); }, {}, false, false),
      row(
          "mean ", {}, [](const Tensor& x) { return mean(x); }, {}, false, true),
  };
  for (const Shape& shape : {Shape{3, 4, 5}, Shape{1, 7, 1}, Shape{2, 0, 3}, Shape{1, 1, 1}}) {
    rows.push_back(row(
        "sum all ", shape, [](const Tensor& x) { return sum(x); }, {0, 1, 2}, false, false));
    rows.push_back(row(
        "sum 1 ", shape, [](const Tensor& x) { return sum(x, {1}); }, {1}, false, false));
    rows.push_back(row(
        "sum -1 keep ", shape, [](const Tensor& x) { return sum(x, {-1}, true); }, {2}, true, false));
    rows.push_back(row(
        "sum 0 2 ", shape,
        [](const Tensor& x) {
          return sum(x, {2, 0});
        },
        {0, 2}, false, false));
    rows.push_back(row(
        "sum none ", shape, [](const Tensor& x) { return sum(x, {}); }, {}, false, false));
    rows.push_back(row(
        "mean 0 ", shape, [](const Tensor& x) { return mean(x, {0}); }, {0}, false, true));
    rows.push_back(row(
        "mean 0 2 keep ", shape,
        [](const Tensor& x) {
          return mean(x, {0, 2}, true);
        },
        {0, 2}, true, true));
    rows.push_back(row(
        "mean all ", shape, [](const Tensor& x) { return mean(x); }, {0, 1, 2}, false, true));
  }
  rows[2].large = {{{7, 100, 129}}};
  check(rows);
}

TEST_CASE("op rows: max and min along an axis") {
  std::vector<OpRow> rows;
  for (const int axis : {0, 1, -1}) {
    for (const bool keep : {false, true}) {
      rows.push_back(extreme("max", {3, 4, 5}, axis, keep, true));
      rows.push_back(extreme("min", {3, 4, 5}, axis, keep, false));
    }
  }
  rows.push_back(extreme("max of one", {2, 1}, 1, false, true));
  rows.push_back(extreme("max of a vector", {7}, 0, false, true));
  rows.push_back(extreme("max of no rows", {0, 3}, 1, false, true));
  rows.front().large = {{{50, 40, 41}}};
  check(rows);
}

TEST_CASE("max and min share the gradient among equal ones; arg_max takes the first") {
  const Tensor x = tensor<double>({1, 5, 5, 2, 2, 2}, {2, 3}, "cpu", true);
  sum(max(x, 1)).backward();
  CHECK(x.grad().values<double>() == std::vector<double>{0, 0.5, 0.5, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  const Tensor y = tensor<double>({1, 1, 3, 3}, {4}, "cpu", true);
  min(y, 0).backward();
  CHECK(y.grad().values<double>() == std::vector<double>{0.5, 0.5, 0, 0});
  CHECK(arg_max(x, 1).values<std::int64_t>() == std::vector<std::int64_t>{1, 0});
  CHECK(arg_max(x, 0).values<std::int64_t>() == std::vector<std::int64_t>{1, 0, 0});
  CHECK_FALSE(arg_max(x, 0).requires_grad());
}

TEST_CASE("sums of integers and of booleans count in int64") {
  const Tensor bytes = Tensor(Array::from<std::uint8_t>({200, 100, 1}, {3}));
  CHECK(sum(bytes).dtype() == DType::int64);
  CHECK(sum(bytes).item() == 301);
  CHECK(sum(less(tensor<float>({1, 2, 3}, {3}), tensor<float>({2.5F}, {}))).item() == 2);
}
