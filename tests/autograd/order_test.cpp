#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_order.h>
#include <mnemo/autograd/step_graph.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>

#include "autograd/op_rows.h"
#include "cuda_device.h"

using namespace mnemo;
using namespace rows;

namespace {

/// The first `count` along an axis in order, or their places: an element's is as many as come before it.
Plain first_in_order(const Plain& x, int given, bool descending, std::int64_t count, bool places) {
  const auto axis = static_cast<std::size_t>(given < 0 ? given + x.rank() : given);
  rows::Index sizes = x.sizes;
  sizes[axis] = count;
  Plain result(sizes);
  for_each(x.sizes, [&](const rows::Index& own) {
    rows::Index other = own, to = own;
    to[axis] = 0;
    for (other[axis] = 0; other[axis] < x.sizes[axis]; ++other[axis]) {
      const double mine = x.at(own), its = x.at(other);
      to[axis] += its == mine ? other[axis] < own[axis] : descending ? its > mine : its < mine;
    }
    if (to[axis] < count) result.at(to) = places ? static_cast<double>(own[axis]) : x.at(own);
  });
  return result;
}

OpRow sort_row(Shape shape, int axis, bool descending) {
  return {"sort " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return sort(x[0], axis, descending).values; },
          [=](const Plains& x) { return first_in_order(x[0], axis, descending, x[0].size(axis), false); }};
}

OpRow topk_row(Shape shape, std::int64_t k, int axis, bool largest) {
  return {"topk " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return topk(x[0], k, axis, largest).values; },
          [=](const Plains& x) { return first_in_order(x[0], axis, largest, k, false); }};
}

OpRow places_row(Shape shape, std::int64_t k, int axis, bool largest) {
  Input input{shape};
  input.differentiable = false;
  return {"places " + shape.text(),
          {input},
          [=](const Tensors& x) {
            return k == x[0].size(axis) ? argsort(x[0], axis, largest) : topk(x[0], k, axis, largest).indices;
          },
          [=](const Plains& x) { return first_in_order(x[0], axis, largest, k, true); }};
}

OpRow repeat_row(Shape shape, Dims counts) {
  return {"repeat " + shape.text() + " by " + counts.text(),
          {{shape}},
          [=](const Tensors& x) { return repeat(x[0], counts); },
          [=](const Plains& x) {
            const std::size_t added = static_cast<std::size_t>(counts.rank() - x[0].rank());
            rows::Index sizes(counts.begin(), counts.end());
            for (std::size_t i = added; i < sizes.size(); ++i) sizes[i] *= x[0].sizes[i - added];
            return filled(sizes, [&](const rows::Index& index) {
              rows::Index own(index.begin() + static_cast<std::ptrdiff_t>(added), index.end());
              for (std::size_t i = 0; i < own.size(); ++i) own[i] %= x[0].sizes[i];
              return x[0].at(own);
            });
          }};
}

OpRow roll_row(Shape shape, std::int64_t shift, int axis) {
  return {"roll " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return roll(x[0], shift, axis); },
          [=](const Plains& x) {
            Plain result(x[0].sizes);
            for_each(x[0].sizes, [&](const rows::Index& own) {
              rows::Index to = own;
              auto& at = to[static_cast<std::size_t>(axis < 0 ? axis + x[0].rank() : axis)];
              at += shift;
              while (at < 0) at += x[0].size(axis);
              while (at >= x[0].size(axis)) at -= x[0].size(axis);
              result.at(to) = x[0].at(own);
            });
            return result;
          }};
}

using Places = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("op rows: sort, argsort and topk") {
  std::vector<OpRow> rows{
      sort_row({7}, -1, false),          sort_row({3, 5}, 1, true),           sort_row({3, 5}, 0, false),
      sort_row({2, 3, 4, 5}, 1, true),   sort_row({2, 1, 3}, 1, false),       sort_row({0, 3}, 1, false),
      sort_row({2, 0}, 1, true),         sort_row({1, 40, 2}, 1, false),      sort_row({2, 7, 5}, -2, true),
      sort_row({2, 70}, -1, false),      topk_row({9}, 4, 0, true),           topk_row({3, 5}, 2, -1, false),
      topk_row({4, 3, 2}, 3, 0, true),   topk_row({2, 3, 4, 5}, 1, 1, false), topk_row({2, 4}, 0, 1, true),
      topk_row({0, 4}, 2, 1, true),      topk_row({2, 70}, 5, 1, true),       places_row({3, 5}, 5, 1, false),
      places_row({4, 3, 2}, 4, 0, true), places_row({2, 70}, 5, 1, true)};
  // Rounded to a half type numbers are equal, and expanded ones are.
  for (OpRow& row : rows) row.smooth_in_half = row.smooth_expanded = false;
  rows[1].large = {{{40, 1031}}}, rows[11].large = {{{20, 2500}}};
  rows[17].op = [](const Tensors& x) { return argsort(x[0], 1); };
  check(rows);
}

TEST_CASE("op rows: repeat and roll") {
  check({repeat_row({3}, {2}), repeat_row({2, 3}, {1, 1}), repeat_row({2, 3}, {2, 1, 2}),
         repeat_row({2, 1, 3}, {1, 4, 2}), repeat_row({}, {3, 2}), repeat_row({2, 3}, {0, 2}),
         repeat_row({0, 3}, {2, 2}), repeat_row({1, 2, 2, 1, 2}, {2, 1, 2, 1, 2, 3, 1}), roll_row({5}, 2, 0),
         roll_row({2, 3}, -1, 1), roll_row({4, 3, 2}, 7, -3), roll_row({3, 2}, 0, 0), roll_row({3, 2}, -6, 0),
         roll_row({0, 2}, 1, 0), roll_row({2, 3, 4, 5}, 1, 1)});
}

TEST_CASE("sort and topk: values, places and gradients, on paper") {
  const Tensor x = tensor<double>({3, 1, 3, -2, 0, 5}, {2, 3}, {}, true);
  const Sorted rising = sort(x), falling = sort(x, 1, true);
  CHECK(rising.values.values<double>() == std::vector<double>{1, 3, 3, -2, 0, 5});
  CHECK(rising.indices.values<std::int64_t>() == Places{1, 0, 2, 0, 1, 2});
  CHECK(falling.values.values<double>() == std::vector<double>{3, 3, 1, 5, 0, -2});
  CHECK(falling.indices.values<std::int64_t>() == Places{0, 2, 1, 2, 1, 0});
  CHECK(argsort(x, 0, true).values<std::int64_t>() == Places{0, 0, 1, 1, 1, 0});
  CHECK(arg_min(x, 1).values<std::int64_t>() == Places{1, 0});
  CHECK_FALSE(rising.indices.requires_grad());
  const Sorted best = topk(x, 2);
  CHECK(best.values.values<double>() == std::vector<double>{3, 3, 5, 0});
  CHECK(best.indices.values<std::int64_t>() == Places{0, 2, 2, 1});
  best.values.backward(tensor<double>({1, 2, 3, 4}, {2, 2}));
  CHECK(x.grad().values<double>() == std::vector<double>{1, 0, 2, 0, 4, 3});
  const Sorted least = topk(x, 1, 0, false);
  CHECK(least.values.values<double>() == std::vector<double>{-2, 0, 3});
  CHECK(least.indices.values<std::int64_t>() == Places{1, 1, 0});
  const Tensor scalar = tensor<double>({4}, {}, {}, true);
  const Sorted alone = sort(scalar);
  CHECK(alone.values.shape() == Shape{});
  CHECK(alone.indices.item() == 0);
  alone.values.backward();
  CHECK(scalar.grad().item() == 1);
}

TEST_CASE("sort and topk: NaN is above all numbers, and zeros of both signs are equal") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const Tensor x = tensor<float>({0, nan, infinite, -0.0F, -1}, {5});
  CHECK(argsort(x).values<std::int64_t>() == Places{4, 0, 3, 2, 1});
  CHECK(topk(x, 3).indices.values<std::int64_t>() == Places{1, 2, 0});
  CHECK(std::isnan(topk(x, 1).values.item()));
  CHECK(std::signbit(sort(x).values.values<float>()[2]));
  CHECK(arg_min(x, 0).item() == 1);
}

TEST_CASE("sort keeps its places and not x; repeat gives memory of its own") {
  const Device device = Device::open("cpu");
  Tensor x = randn({64, 128}, {.device = device, .requires_grad = true});
  Tensor y = 2.0 * x;
  Tensor values = topk(y, 8).values;
  y = Tensor();
  CHECK(device.allocator().statistics().requested_bytes.all.current == 64 * 128 * 4 + 64 * 8 * (4 + 8));
  values = Tensor();
  CHECK(device.allocator().statistics().requested_bytes.all.current == 64 * 128 * 4);
  Tensor once = ones({1, 3}), thrice = repeat(once, {3, 1}), same = repeat(once, {1, 1});
  add_(once, 1);
  add_(thrice, thrice);
  CHECK(thrice.values<float>() == std::vector<float>(9, 2));
  CHECK(same.values<float>() == std::vector<float>(3, 1));
}

TEST_CASE("sort, topk, repeat and roll: what is refused, and how it is said") {
  const Tensor none, x = zeros({2, 3}), scalar = zeros({});
  for (const std::function<void()>& call : std::initializer_list<std::function<void()>>{
           [&] { (void)sort(none); }, [&] { (void)argsort(none); }, [&] { (void)topk(none, 1); },
           [&] { (void)arg_min(none, 0); }, [&] { (void)repeat(none, {2}); }, [&] { (void)roll(none, 1, 0); }})
    CHECK_THROWS_AS(call(), Error);
  CHECK_THROWS_WITH((void)topk(x, 4), "[topk] k is 4, but axis 1 of (2, 3) has 3 elements: allowed are 0 to 3");
  CHECK_THROWS_WITH((void)topk(zeros({2, 1}), -1),
                    "[topk] k is -1, but axis 1 of (2, 1) has 1 element: allowed are 0 to 1");
  CHECK_THROWS_WITH((void)topk(scalar, 0), "[topk] k is 0, but axis 0 of () has 1 element: allowed are 1 to 1");
  CHECK_THROWS_WITH((void)arg_min(zeros({2, 0}), 1), "[arg_min] axis 1 of (2, 0) is empty");
  CHECK_THROWS_WITH((void)repeat(x, {2}),
                    "[repeat] 1 count for (2, 3): one is needed for each axis, 1 where it stays as it is");
  CHECK_THROWS_WITH((void)repeat(x, {3, -1}), "[repeat] count -1 of axis 1 must not be negative");
  CHECK_THROWS_AS((void)repeat(x, {1, std::numeric_limits<std::int64_t>::max()}), ShapeError);
  CHECK_THROWS_AS((void)sort(x, 2), ShapeError);
  CHECK_THROWS_AS((void)argsort(scalar, 1), ShapeError);
  CHECK_THROWS_AS((void)topk(x, 1, -3), ShapeError);
  CHECK_THROWS_AS((void)roll(x, 1, 2), ShapeError);
  CHECK_THROWS_AS((void)roll(scalar, 1, 0), ShapeError);
}

TEST_CASE("sort in a region that runs again gives equal gradients; places that were changed are noticed") {
  const auto gradient = [](bool checkpointed) {
    manual_seed(3);
    const Tensor x = randn({4, 50}, {.requires_grad = true});
    const auto net = [](const Tensor& given) {
      return topk(sin(repeat(given, {1, 2})), 7).values * slice(roll(sort(given).values, 3, 1), 1, 0, 7);
    };
    const Tensor y = checkpointed ? checkpoint(net, x) : net(x);
    sum(y * y).backward();
    return x.grad().values<float>();
  };
  CHECK(gradient(true) == gradient(false));
  Sorted found = sort(randn({3, 4}, {.requires_grad = true}));
  fill_(found.indices, 0);
  CHECK_THROWS_AS(sum(found.values).backward(), GradError);
}

TEST_CASE("sort on a virtual device: shapes, NaN and places that are 0") {
  const Sorted found = topk(zeros({2, 5000}, {.device = Device::open("virtual:h200")}), 3);
  CHECK(found.values.shape() == Shape{2, 3});
  CHECK(std::isnan(found.values.values<float>()[5]));
  CHECK(found.indices.values<std::int64_t>() == Places(6, 0));
}

TEST_CASE("cuda: a recorded step sorts anew, and picks by what it found") {
  if (!cuda_device()) return;
  StepGraph graph(*cuda_device());
  const auto step = [](std::span<const Tensor> in) {
    return sum(gather(in[0], 0, slice(sort(in[0], 0, true).indices, 0, 0, 2)));
  };
  for (const float sign : {1.0F, -1.0F, -1.0F, 1.0F}) {
    std::vector<float> values(5000);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = sign * static_cast<float>(i);
    CHECK(graph.run({tensor(values, {5000}, *cuda_device())}, step).item() == (sign > 0 ? 4999 + 4998 : -1));
  }
  CHECK(graph.recorded() == 1);
}
