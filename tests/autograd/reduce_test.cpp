#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

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

namespace {

enum class Spread { variance, deviation, norm };

OpRow spread(Spread kind, Shape shape, std::vector<int> axes, bool keep, double correction = 1) {
  const std::set<int> set(axes.begin(), axes.end());
  const auto op = [=](const Tensor& x) {
    const auto along = [&](std::initializer_list<int> list) {
      if (kind == Spread::norm) return norm(x, list, keep);
      return kind == Spread::variance ? variance(x, list, keep, correction)
                                      : standard_deviation(x, list, keep, correction);
    };
    if (axes.size() == 1) return along({axes[0]});
    return axes.size() == 2 ? along({axes[1], axes[0]}) : along({});
  };
  return {"spread " + shape.text(),
          {{shape}},
          [op](const Tensors& x) { return op(x[0]); },
          [=](const Plains& x) {
            double count = 1;
            for (const int axis : set) count *= static_cast<double>(x[0].size(axis));
            const Plain sums = mapped(folded(x[0], set, true, 0, add),
                                      [=](double sum) { return kind == Spread::norm ? 0 : sum / count; });
            const Plain squares =
                mapped(x[0], sums, [](double value, double mean) { return std::pow(value - mean, 2); });
            return mapped(folded(squares, set, keep, 0, add), [=](double sum) {
              if (kind == Spread::norm) return std::sqrt(sum);
              const double result = sum / (count - correction);
              return kind == Spread::variance ? result : std::sqrt(result);
            });
          }};
}

}  // namespace

TEST_CASE("op rows: variance, standard deviation and norm") {
  std::vector<OpRow> rows{spread(Spread::variance, {30, 70}, {1}, false)};
  rows.front().inputs = {{{3, 5}}};
  rows.front().large = {{{30, 1007}}};
  for (const Spread kind : {Spread::variance, Spread::deviation, Spread::norm}) {
    // Repeated along axis 0 a deviation is 0, where its root has no derivative.
    for (const bool keep : {false, true}) rows.push_back(spread(kind, {3, 4, 5}, {1}, keep));
    rows.push_back(spread(kind, {3, 4, 5}, {0, 2}, true, 0));
    rows.push_back(spread(kind, {2, 7}, {1}, false, 0.5));
    rows.push_back(spread(kind, {0, 3}, {1}, false));
  }
  rows.push_back(spread(Spread::variance, {4, 3}, {0}, false));
  rows.push_back(spread(Spread::norm, {4, 3}, {0}, false));
  rows.push_back(spread(Spread::norm, {4, 3}, {}, false));
  check(rows);
}

TEST_CASE("variance, standard deviation and norm of everything, and where there is too little") {
  const Tensor x = tensor<double>({1, 2, 3, 6}, {2, 2}, "cpu", true);
  CHECK(variance(x).item() == doctest::Approx(14.0 / 3).epsilon(1e-14));
  CHECK(standard_deviation(x).item() == doctest::Approx(std::sqrt(14.0 / 3)).epsilon(1e-14));
  CHECK(norm(x).item() == doctest::Approx(std::sqrt(50)).epsilon(1e-14));
  CHECK(norm(tensor<double>({-3}, {})).item() == 3);
  const Tensor zero = zeros({2, 2}, {.requires_grad = true});
  sum(norm(zero, {1})).backward();
  CHECK(zero.grad().values<double>() == std::vector<double>{0, 0, 0, 0});
  CHECK(std::isnan(variance(slice(x, 0, 0, 1), {0}).values<double>()[0]));
  // The squares of these would overflow in float16, and their mean would be 0.5 off in bfloat16.
  CHECK(norm(to(tensor<double>({300, 400}, {2}), DType::float16)).item() == 500);
  CHECK(variance(to(tensor<double>({256, 258, 258, 260}, {4}), DType::bfloat16), {0}, false, 0).item() == 2);
}

TEST_CASE("variance keeps x alone, which may be kept anyway; norm its small result too") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor x = zeros({512, 128}, {.requires_grad = true});
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
  };
  const Tensor y = x * x;  // keeps x, a leaf: no activation
  const memory::Bytes bytes = 512 * 128 * 4;
  const Tensor variances = variance(y, {1});
  CHECK(saved() == bytes);
  const Tensor norms = norm(y, {1});
  CHECK(saved() == bytes + 512 * 4);
  const Tensor deviations = standard_deviation(y, {1});
  CHECK(saved() == bytes + 2 * 512 * 4);
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

namespace {

OpRow log_sum_exp_row(Shape shape, std::set<int> axes, bool keep, std::function<Tensor(const Tensor&)> op) {
  return {"log_sum_exp " + shape.text(),
          {{shape}},
          [op](const Tensors& x) { return op(x[0]); },
          [=](const Plains& x) {
            const Plain sum = folded(mapped(x[0], [](double value) { return std::exp(value); }), axes, keep, 0, add);
            return mapped(sum, [](double value) { return std::log(value); });
          }};
}

}  // namespace

TEST_CASE("op rows: max and min of all, and log_sum_exp") {
  std::vector<OpRow> rows;
  for (const Shape& shape : {Shape{3, 4, 5}, Shape{}, Shape{1}, Shape{7}}) {
    for (const bool largest : {true, false}) {
      OpRow row = extreme("all", shape, 1, false, largest);
      row.op = [largest](const Tensors& x) { return largest ? max(x[0]) : min(x[0]); };
      row.reference = [largest](const Plains& x) {
        const auto& values = x[0].values;
        return Plain({}, {largest ? *std::max_element(values.begin(), values.end())
                                  : *std::min_element(values.begin(), values.end())});
      };
      row.smooth_expanded = false;
      rows.push_back(row);
    }
  }
  rows.front().large = {{{50, 40, 41}}};
  const auto along = [](std::initializer_list<int> axes, bool keep) {
    return [axes = std::vector<int>(axes), keep](const Tensor& x) {
      return axes.size() == 1 ? log_sum_exp(x, {axes[0]}, keep) : log_sum_exp(x, {axes[0], axes[1]}, keep);
    };
  };
  rows.push_back(log_sum_exp_row({3, 4, 5}, {1}, false, along({1}, false)));
  rows.push_back(log_sum_exp_row({3, 4, 5}, {0, 2}, true, along({-1, 0}, true)));
  rows.push_back(log_sum_exp_row({0, 3}, {1}, false, along({1}, false)));
  rows.push_back(log_sum_exp_row({3, 5}, {0, 1}, false, [](const Tensor& x) { return log_sum_exp(x); }));
  rows.push_back(log_sum_exp_row({}, {}, false, [](const Tensor& x) { return log_sum_exp(x); }));
  rows.back().large = {{{50, 40, 41}}};
  check(rows);
}

TEST_CASE("log_sum_exp is finite wherever its values are, and keeps them and its result") {
  const auto of = [](std::vector<double> values) {
    const Tensor x = tensor<double>(values, {static_cast<std::int64_t>(values.size())}, "cpu", true);
    const Tensor y = log_sum_exp(x);
    y.backward();
    std::vector<double> all = x.grad().values<double>();
    all.insert(all.begin(), y.item());
    return all;
  };
  CHECK(of({1e300, -1e300}) == std::vector<double>{1e300, 1, 0});
  CHECK(of({-1000, -1000})[0] == -1000 + std::log(2.0));
  CHECK(of({-1000, -1000})[1] == doctest::Approx(0.5).epsilon(1e-12));
  CHECK(of({-INFINITY, 3}) == std::vector<double>{3, 0, 1});
  CHECK(of({-INFINITY, -INFINITY}) == std::vector<double>{-INFINITY, 0, 0});
  CHECK(of({INFINITY, 3})[0] == INFINITY);

  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor x = zeros({512, 128}, {.requires_grad = true}) * 1.0;
  const Tensor y = log_sum_exp(x, {1});
  CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)] ==
        512 * 128 * 4 + 512 * 4);
}

TEST_CASE("max and min share the gradient among equal ones; arg_max takes the first") {
  const Tensor x = tensor<double>({1, 5, 5, 2, 2, 2}, {2, 3}, "cpu", true);
  sum(max(x, 1)).backward();
  CHECK(x.grad().values<double>() == std::vector<double>{0, 0.5, 0.5, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  const Tensor y = tensor<double>({1, 1, 3, 3}, {4}, "cpu", true);
  min(y, 0).backward();
  CHECK(y.grad().values<double>() == std::vector<double>{0.5, 0.5, 0, 0});
  const Tensor z = tensor<double>({1, 3, 3, 3}, {2, 2}, "cpu", true);
  max(z).backward();
  CHECK(z.grad().values<double>() == std::vector<double>{0, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  // More of them than float16 has numbers.
  const Tensor many = ones({1 << 17}, {.dtype = DType::float16, .requires_grad = true});
  (max(many) * 1024).backward();
  CHECK(many.grad().values<float>()[5] == 0x1p-7F);
  CHECK_THROWS_WITH_AS((void)max(zeros({0, 2})), doctest::Contains("(0, 2) has no elements"), ShapeError);
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

TEST_CASE("standard_deviation of half types is rounded once, and its gradient is 0 where nothing differs") {
  // float16 reaches 65504: the variance of these, 213333 and 1.7e-8, is none.
  Tensor x = to(tensor<float>({-400, 400, -400, 400}, {4}), DType::float16).detach();
  CHECK(standard_deviation(x).item() == 462);  // 800 / sqrt(3) = 461.88, between 461.75 and 462
  x = to(tensor<float>({1e-4F, -1e-4F, 1e-4F, -1e-4F}, {4}), DType::float16).detach().set_requires_grad(true);
  const Tensor y = standard_deviation(x, {0}, false, 0);
  CHECK(y.item() == x.values<double>()[0]);
  y.backward();  // (x - mean) / (n y) = 1/4, -1/4
  CHECK(x.grad().values<double>() == std::vector<double>{0.25, -0.25, 0.25, -0.25});
  const Tensor same = full({2, 3}, 7, {.requires_grad = true});
  sum(standard_deviation(same, {1})).backward();
  CHECK(same.grad().values<float>() == std::vector<float>(6, 0));
}
