#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

constexpr std::array kModes{ResampleMode::nearest, ResampleMode::linear, ResampleMode::cubic, ResampleMode::average};

Extent extent(const Index& sizes) {
  if (sizes.size() == 1) return {sizes[0]};
  return sizes.size() == 2 ? Extent{sizes[0], sizes[1]} : Extent{sizes[0], sizes[1], sizes[2]};
}

/// How much an element at that distance counts: Keys' kernel with a = -3/4, or the triangle.
double kernel(ResampleMode mode, double distance) {
  const double d = std::fabs(distance);
  if (mode == ResampleMode::linear) return std::fmax(0, 1 - d);
  if (d <= 1) return 1.25 * d * d * d - 2.25 * d * d + 1;
  return d < 2 ? -0.75 * d * d * d + 3.75 * d * d - 6 * d + 3 : 0;
}

/// How much element j of an axis counts for element i of the resampled one, if the axis goes on with its last elements.
double weight(const InterpolateOptions& how, std::int64_t in, std::int64_t out, std::int64_t i, std::int64_t j) {
  if (how.mode == ResampleMode::nearest) return i * in / out == j ? 1 : 0;
  if (how.mode == ResampleMode::average) {
    const std::int64_t from = i * in / out, until = ((i + 1) * in + out - 1) / out;
    return j >= from && j < until ? 1.0 / static_cast<double>(until - from) : 0;
  }
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const double place = how.align_corners ? (out == 1 ? 0 : number(i) * number(in - 1) / number(out - 1))
                                         : (number(i) + 0.5) * number(in) / number(out) - 0.5;
  double sum = 0;
  for (std::int64_t at = -3; at < in + 3; ++at) {
    if (std::min(std::max<std::int64_t>(at, 0), in - 1) == j) sum += kernel(how.mode, place - number(at));
  }
  return sum;
}

OpRow row(Shape x, Index out, InterpolateOptions how) {
  return {"interpolate " + x.text() + " mode " + std::to_string(static_cast<int>(how.mode)),
          {{x}},
          [=](const Tensors& t) { return interpolate(t[0], extent(out), how); },
          [=](const Plains& t) {
            Index sizes{t[0].size(0), t[0].size(1)};
            sizes.insert(sizes.end(), out.begin(), out.end());
            return filled(sizes, [&](const Index& index) {
              double sum = 0;
              for_each(t[0].sizes, [&](const Index& from) {
                double share = from[0] == index[0] && from[1] == index[1] ? 1 : 0;
                for (std::size_t d = 2; d < sizes.size() && share != 0; ++d)
                  share *= weight(how, t[0].sizes[d], sizes[d], index[d], from[d]);
                sum += share * t[0].at(from);
              });
              return sum;
            });
          }};
}

}  // namespace

TEST_CASE("op rows: interpolate") {
  std::vector<OpRow> rows;
  for (const ResampleMode mode : kModes) {
    rows.push_back(row({2, 3, 4}, {9}, {mode}));
    rows.back().large = {{{2, 40, 3000}}};
    rows.push_back(row({2, 2, 7}, {3}, {mode}));
    rows.push_back(row({1, 2, 1}, {4}, {mode}));
    rows.push_back(row({1, 2, 5}, {1}, {mode}));
    rows.push_back(row({2, 3, 4, 5}, {8, 10}, {mode}));
    rows.back().large = {{{4, 30, 40, 41}}};
    rows.push_back(row({1, 2, 6, 4}, {4, 7}, {mode}));
    rows.push_back(row({1, 2, 3, 4}, {3, 6}, {mode}));
    rows.push_back(row({1, 2, 2, 3, 4}, {3, 5, 2}, {mode}));
    rows.push_back(row({0, 2, 3}, {6}, {mode}));
  }
  for (const ResampleMode mode : {ResampleMode::linear, ResampleMode::cubic}) {
    rows.push_back(row({2, 3, 4}, {9}, {mode, true}));
    rows.push_back(row({1, 2, 7}, {4}, {mode, true}));
    rows.push_back(row({1, 2, 5, 1}, {1, 3}, {mode, true}));
    rows.push_back(row({1, 2, 3, 2, 4}, {2, 4, 7}, {mode, true}));
  }
  check(rows);
}

TEST_CASE("interpolate: what does not count may be infinite, and every element may be its own") {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  Tensor x = tensor<double>({1, 2, kInfinite, 4}, {1, 1, 4}, "cpu", true);
  // The first elements lie at -0.25, 0.25, 0.75: no part of the infinite one.
  const std::vector<double> twice = interpolate(x, 8).values<double>();
  CHECK(twice[0] == 1);
  CHECK(twice[1] == 1.25);
  CHECK(twice[2] == 1.75);
  CHECK(std::isinf(twice[3]));
  for (const ResampleMode mode : kModes) {
    for (const bool corners : {false, true})
      CHECK(interpolate(x, 4, {mode, corners}).values<double>() == x.values<double>());
  }
  // Of seven places between six with their ends at the same, the element in the middle is nobody's neighbour.
  Tensor y = interpolate(tensor<double>({1, kInfinite, 3}, {1, 1, 3}), 2, {.align_corners = true});
  CHECK(y.values<double>() == std::vector<double>{1, 3});
  y = interpolate(x, 8);
  std::vector<double> gradient(8, 1);
  gradient[7] = kInfinite;  // which the last element alone counts for
  y.backward(tensor<double>(gradient, {1, 1, 8}));
  CHECK(x.grad().values<double>()[0] == 2);
  CHECK(x.grad().values<double>()[2] == 2);
  CHECK(std::isinf(x.grad().values<double>()[3]));
}

TEST_CASE("interpolate: the sizes it takes, and what it keeps") {
  CHECK_THROWS_WITH_AS(
      (void)interpolate(zeros({3, 4}), 2),
      doctest::Contains("[interpolate] input (3, 4) must have 3 to 5 dimensions: (N, C, 1 to 3 sizes)"), ShapeError);
  CHECK_THROWS_WITH_AS((void)interpolate(zeros({1, 2, 4}), 0), doctest::Contains("output size is 0"), ShapeError);
  CHECK_THROWS_WITH_AS((void)interpolate(zeros({1, 2, 4, 4}), {2, 2, 2}), doctest::Contains("3 numbers given"),
                       ShapeError);
  CHECK_THROWS_WITH((void)interpolate(zeros({1, 2, 4}), {2, 2}),
                    "[interpolate] 2 numbers given for output size, expected 1");
  CHECK_THROWS_WITH_AS((void)interpolate(zeros({1, 2, 4, 0}), 2), doctest::Contains("each size at least 1"),
                       ShapeError);
  CHECK_THROWS_AS((void)interpolate(zeros({1, 2, 4}, {.dtype = DType::int64}), 2), DTypeError);
  CHECK_THROWS_WITH_AS((void)interpolate(Tensor(), 2), doctest::Contains("undefined"), Error);
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor x = randn({2, 16, 9, 9}, {.requires_grad = true}) * 1.0;
  const memory::Bytes before = device.allocator().allocated();
  device.allocator().reset_peak();
  for (const ResampleMode mode : kModes) {
    const Tensor y = interpolate(x, 18, {mode});
    CHECK(device.allocator().allocated() == before + 2 * 16 * 18 * 18 * 4);
  }
  CHECK(device.allocator().peak().allocated == before + 2 * 16 * 18 * 18 * 4);
  CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)] == 0);
  CHECK_THROWS_AS((void)interpolate(empty({1, 1, std::int64_t{1} << 40}), std::int64_t{1} << 30), ShapeError);
}
