#include <doctest/doctest.h>

#include <limits>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

OpRow row(std::string name, Shape shape, std::function<Tensor(const Tensor&)> op,
          std::function<Plain(const Plain&)> reference) {
  return {std::move(name),
          {{shape}},
          [op](const Tensors& x) { return op(x[0]); },
          [reference](const Plains& x) { return reference(x[0]); }};
}

Index picked(const Index& from, const Index& order) {
  Index result;
  for (const std::int64_t at : order) result.push_back(from[static_cast<std::size_t>(at)]);
  return result;
}

/// y[picked(index)] = x[index]
Plain permuted(const Plain& x, const Index& order) {
  Plain y(picked(x.sizes, order));
  for_each(x.sizes, [&](const Index& index) { y.at(picked(index, order)) = x.at(index); });
  return y;
}

Plain sliced(const Plain& x, std::size_t axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  Index sizes = x.sizes;
  sizes[axis] = 0;
  for (std::int64_t i = begin; i < end; i += step) ++sizes[axis];
  return filled(sizes, [&](Index index) {
    index[axis] = begin + step * index[axis];
    return x.at(index);
  });
}

Plain gathered(const Plain& x, std::size_t axis, const Plain& places) {
  return filled(places.sizes, [&](Index index) {
    index[axis] = static_cast<std::int64_t>(places.at(index));
    return x.at(index);
  });
}

Plain joined(const Plains& parts, std::size_t axis) {
  Index sizes = parts[0].sizes;
  for (std::size_t i = 1; i < parts.size(); ++i) sizes[axis] += parts[i].sizes[axis];
  return filled(sizes, [&](Index index) {
    for (const Plain& part : parts) {
      if (index[axis] < part.sizes[axis]) return part.at(index);
      index[axis] -= part.sizes[axis];
    }
    return 0.0;
  });
}

/// The same numbers under other sizes.
std::function<Plain(const Plain&)> resized(Index sizes) {
  return [sizes](const Plain& x) { return Plain(sizes, x.values); };
}

}  // namespace

TEST_CASE("op rows: views") {
  check({
      row(
          "reshape", {2, 3, 4},
          [](const Tensor& x) {
            return reshape(x, {4, 6});
          },
          resized({4, 6})),
      row(
          "reshape -1", {2, 3, 4},
          [](const Tensor& x) {
            return reshape(x, {-1, 2});
          },
          resized({12, 2})),
      row(
          "reshape to a scalar", {1, 1}, [](const Tensor& x) { return reshape(x, Dims{}); }, resized({})),
      row(
          "reshape empty", {0, 3},
          [](const Tensor& x) {
            return reshape(x, {3, 0, 5});
          },
          resized({3, 0, 5})),
      row(
          "flatten", {2, 3, 4}, [](const Tensor& x) { return flatten(x); }, resized({2, 12})),
      row(
          "flatten all", {2, 3, 4}, [](const Tensor& x) { return flatten(x, 0); }, resized({24})),
      row(
          "flatten empty", {0, 3, 4}, [](const Tensor& x) { return flatten(x); }, resized({0, 12})),
      row(
          "squeeze", {2, 1, 3}, [](const Tensor& x) { return squeeze(x, 1); }, resized({2, 3})),
      row(
          "squeeze -1", {1}, [](const Tensor& x) { return squeeze(x, -1); }, resized({})),
      row(
          "unsqueeze", {2, 3}, [](const Tensor& x) { return unsqueeze(x, 1); }, resized({2, 1, 3})),
      row(
          "unsqueeze -1", {}, [](const Tensor& x) { return unsqueeze(x, -1); }, resized({1})),
      row(
          "contiguous", {3, 5}, [](const Tensor& x) { return contiguous(transpose(x, 0, 1)); },
          [](const Plain& x) {
            return permuted(x, {1, 0});
          }),
      row(
          "permute", {2, 3, 4},
          [](const Tensor& x) {
            return permute(x, {2, 0, 1});
          },
          [](const Plain& x) {
            return permuted(x, {2, 0, 1});
          }),
      row(
          "permute empty", {2, 0, 4},
          [](const Tensor& x) {
            return permute(x, {2, 0, 1});
          },
          [](const Plain& x) {
            return permuted(x, {2, 0, 1});
          }),
      row(
          "transpose", {2, 3, 4}, [](const Tensor& x) { return transpose(x, 0, -1); },
          [](const Plain& x) {
            return permuted(x, {2, 1, 0});
          }),
      row(
          "expand", {3, 1},
          [](const Tensor& x) {
            return expand(x, {2, 3, 4});
          },
          [](const Plain& x) {
            return filled({2, 3, 4}, [&](const Index& index) { return x.broadcast_at(index); });
          }),
      row(
          "expand to nothing", {3, 1},
          [](const Tensor& x) {
            return expand(x, {3, 0});
          },
          [](const Plain&) {
            return Plain({3, 0});
          }),
      row(
          "expand to itself", {3}, [](const Tensor& x) { return expand(x, {3}); }, [](const Plain& x) { return x; }),
  });
}

TEST_CASE("op rows: slice, concat and gather") {
  const auto slice_row = [](Shape shape, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
    return row(
        "slice " + Dims{axis, begin, end, step}.text(), shape,
        [=](const Tensor& x) { return slice(x, axis, begin, end, step); },
        [=](const Plain& x) {
          return sliced(x, static_cast<std::size_t>(axis < 0 ? axis + x.rank() : axis), begin, end, step);
        });
  };
  std::vector<OpRow> rows{slice_row({5, 7}, 0, 1, 4, 1), slice_row({5, 7}, 1, 0, 7, 3), slice_row({5, 7}, -1, 2, 7, 2),
                          slice_row({5, 7}, 0, 3, 3, 1), slice_row({5, 7}, 0, 0, 5, 1), slice_row({1}, 0, 0, 1, 9),
                          slice_row({0, 2}, 0, 0, 0, 1)};
  rows.push_back({"concat 0",
                  {{{2, 3}}, {{1, 3}}, {{0, 3}}, {{4, 3}}},
                  [](const Tensors& x) { return concat(x, 0); },
                  [](const Plains& x) { return joined(x, 0); }});
  rows.push_back({"concat -1",
                  {{{2, 3}}, {{2, 2}}},
                  [](const Tensors& x) {
                    return concat({x[0], x[1]}, -1);
                  },
                  [](const Plains& x) { return joined(x, 1); },
                  0,
                  true,
                  true,
                  {{{130, 300}}, {{130, 200}}}});
  rows.push_back(
      {"concat one", {{{2, 3}}}, [](const Tensors& x) { return concat(x, 1); }, [](const Plains& x) { return x[0]; }});
  rows.push_back({"concat twice the same",
                  {{{2, 3}}},
                  [](const Tensors& x) {
                    return concat({x[0], x[0]}, 0);
                  },
                  [](const Plains& x) {
                    return joined({x[0], x[0]}, 0);
                  }});
  rows.push_back({"gather 0",
                  {{{4, 2}}, {{3, 2}, 0, 0, {3, 0, 0, 1, 3, 1}}},
                  [](const Tensors& x) { return gather(x[0], 0, x[1]); },
                  [](const Plains& x) { return gathered(x[0], 0, x[1]); }});
  rows.push_back({"gather -1",
                  {{{2, 3}}, {{2, 5}, 0, 0, {2, 2, 2, 0, 1, 1, 1, 1, 1, 1}}},
                  [](const Tensors& x) { return gather(x[0], -1, x[1]); },
                  [](const Plains& x) { return gathered(x[0], 1, x[1]); },
                  0,
                  false});
  check(rows);
}

TEST_CASE("op rows: select") {
  const auto select_row = [](Shape shape, int axis, std::int64_t index, std::size_t along, std::int64_t place) {
    return row(
        "select " + Dims{axis, index}.text(), shape, [=](const Tensor& x) { return select(x, axis, index); },
        [=](const Plain& x) {
          Index sizes = x.sizes;
          sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(along));
          return filled(sizes, [&](Index at) {
            at.insert(at.begin() + static_cast<std::ptrdiff_t>(along), place);
            return x.at(at);
          });
        });
  };
  check({select_row({2, 3, 4}, 1, 2, 1, 2), select_row({2, 3, 4}, -1, -1, 2, 3), select_row({2, 3}, 0, -2, 0, 0),
         select_row({5}, 0, 4, 0, 4), select_row({0, 2}, 1, 1, 1, 1)});
}

TEST_CASE("slice: a step that is larger than the axis, up to the largest number") {
  const Tensor x = tensor<double>({1, 2, 3, 4}, {2, 2}, "cpu", true);
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Tensor y = slice(x, 1, 0, 2, huge);
  CHECK(y.shape() == Shape{2, 1});
  CHECK(y.values<double>() == std::vector<double>{1, 3});
  sum(y).backward();
  CHECK(x.grad().values<double>() == std::vector<double>{1, 0, 1, 0});
}

TEST_CASE(
    "casts: the gradient comes back in the dtype that was cast; integers end the graph; a cast to the same dtype is "
    "the tensor itself") {
  const Tensor x = tensor<float>({1.5F, -2.25F}, {2}, "cpu", true);
  const Tensor wide = to(x, DType::float64);
  sum(wide * wide).backward();
  CHECK(x.grad().dtype() == DType::float32);
  CHECK(x.grad().values<double>() == std::vector<double>{3, -4.5});
  CHECK_FALSE(to(x, DType::int64).requires_grad());
  CHECK(to(x, DType::int64).values<std::int64_t>() == std::vector<std::int64_t>{1, -2});
  CHECK(to(x, DType::float32).node() == x.node());
  CHECK(to(x, DType::bfloat16).values<double>() == std::vector<double>{1.5, -2.25});
}

TEST_CASE("to another device: the gradient comes home") {
  const Device other = Device::open("cpu");
  const Tensor x = tensor<double>({1, 2}, {2}, "cpu", true);
  const Tensor away = to(x, other);
  CHECK(away.device() == other);
  sum(away * away).backward();
  CHECK(x.grad().device() == x.device());
  CHECK(x.grad().values<double>() == std::vector<double>{2, 4});
}

TEST_CASE("op rows: clone") {
  std::vector<OpRow> rows;
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{0, 2}, Shape{2, 3, 4, 5}}) {
    rows.push_back({"clone " + shape.text(),
                    {{shape}},
                    [](const Tensors& x) { return clone(x[0]); },
                    [](const Plains& x) { return x[0]; }});
  }
  check(rows);
}

TEST_CASE("a clone has memory of its own, and its layout where that has no gaps") {
  const Tensor x = tensor<float>({1, 2, 3, 4, 5, 6}, {2, 3}), turned = transpose(x, 0, 1);
  Tensor y = clone(turned);
  CHECK(y.array().strides() == turned.array().strides());
  fill_(y, 0);
  CHECK(x.values<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(clone(slice(x, 1, 0, 2)).array().is_contiguous());
}
