#include <doctest/doctest.h>

#include <numeric>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// Parts of x that are used in the opposite order, each times a number of its own, one behind the other.
Tensor reversed(const std::vector<Tensor>& parts, int axis) {
  std::vector<Tensor> result;
  for (std::size_t i = parts.size(); i-- > 0;) result.push_back(parts[i] * static_cast<double>(i + 1));
  return concat(result, axis);
}

/// The same by places: part i has the elements from starts[i] to starts[i + 1].
Plain reversed(const Plain& x, std::size_t axis, const std::vector<std::int64_t>& sizes) {
  return filled(x.sizes, [&](Index index) {
    std::int64_t at = index[axis], begin = x.sizes[axis];
    for (std::size_t i = sizes.size(); i-- > 0; at -= sizes[i]) {
      begin -= sizes[i];
      if (at >= sizes[i]) continue;
      index[axis] = begin + at;
      return x.at(index) * static_cast<double>(i + 1);
    }
    return 0.0;
  });
}

using Split = std::function<std::vector<Tensor>(const Tensor&)>;

OpRow split_row(Shape shape, int axis, std::vector<std::int64_t> sizes, Split split) {
  return {"split " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return reversed(split(x[0]), axis); },
          [=](const Plains& x) {
            return reversed(x[0], static_cast<std::size_t>(axis < 0 ? axis + x[0].rank() : axis), sizes);
          }};
}

OpRow stack_row(Shape shape, std::size_t axis, int given) {
  return {"stack " + shape.text(),
          {{shape}, {shape}, {shape}},
          [=](const Tensors& x) { return stack(x, given); },
          [=](const Plains& x) {
            Index sizes = x[0].sizes;
            sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), 3);
            return filled(sizes, [&](Index index) {
              const Plain& part = x[static_cast<std::size_t>(index[axis])];
              index.erase(index.begin() + static_cast<std::ptrdiff_t>(axis));
              return part.at(index);
            });
          }};
}

OpRow pad_row(Shape shape, std::vector<Pad> pads, double value) {
  return {"pad " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return pad(x[0], pads, value); },
          [=](const Plains& x) {
            Index sizes = x[0].sizes;
            const std::size_t first = sizes.size() - pads.size();
            for (std::size_t i = 0; i < pads.size(); ++i) sizes[first + i] += pads[i].before + pads[i].after;
            return filled(sizes, [&](Index index) {
              for (std::size_t i = 0; i < pads.size(); ++i) {
                index[first + i] -= pads[i].before;
                if (index[first + i] < 0 || index[first + i] >= x[0].sizes[first + i]) return value;
              }
              return x[0].at(index);
            });
          }};
}

OpRow select_row(Shape shape, int axis, std::vector<std::int64_t> places) {
  const auto count = static_cast<std::int64_t>(places.size());
  return {"index_select " + shape.text(),
          {{shape}, {{count}, 0, 0, std::move(places)}},
          [=](const Tensors& x) { return index_select(x[0], axis, x[1]); },
          [=](const Plains& x) {
            const auto along = static_cast<std::size_t>(axis < 0 ? axis + x[0].rank() : axis);
            Index sizes = x[0].sizes;
            sizes[along] = count;
            return filled(sizes, [&](Index index) {
              index[along] = static_cast<std::int64_t>(x[1].at({index[along]}));
              return x[0].at(index);
            });
          },
          0,
          false};
}

std::vector<std::int64_t> spread(std::int64_t count, std::int64_t limit) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i * 7919 % 1009) % limit;
  return places;
}

}  // namespace

TEST_CASE("op rows: stack, split and chunk") {
  std::vector<OpRow> rows{stack_row({2, 3}, 0, 0), stack_row({2, 3}, 1, 1), stack_row({2, 3}, 2, -1),
                          stack_row({}, 0, 0),     stack_row({0, 2}, 1, 1), stack_row({2, 3, 4, 5}, 1, 1)};
  rows.front().large = {{{130, 300}}, {{130, 300}}, {{130, 300}}};
  rows.push_back(split_row({5, 4}, 0, {2, 0, 3}, [](const Tensor& x) { return split(x, 0, {2, 0, 3}); }));
  rows.push_back(split_row({3, 7}, -1, {3, 3, 1}, [](const Tensor& x) { return split(x, -1, 3); }));
  rows.push_back(split_row({3, 7}, 1, {7}, [](const Tensor& x) { return split(x, 1, 9); }));
  rows.push_back(split_row({10, 2}, 0, {3, 3, 3, 1}, [](const Tensor& x) { return chunk(x, 0, 4); }));
  rows.push_back(split_row({2, 5}, 1, {2, 2, 1}, [](const Tensor& x) { return chunk(x, 1, 4); }));
  rows.push_back(split_row({2, 6, 3}, 1, {2, 2, 2}, [](const Tensor& x) { return chunk(x, 1, 3); }));
  rows.push_back(split_row({0, 3}, 0, {0}, [](const Tensor& x) { return chunk(x, 0, 4); }));
  check(rows);
}

TEST_CASE("split and chunk are views: nothing is copied or kept") {
  const Tensor x = randn({10, 4}, {.requires_grad = true});
  for (const Tensor& part : chunk(x, 0, 3)) CHECK(part.array().storage() == x.array().storage());
  CHECK(split(x, 0, 4).size() == 3);
  CHECK(split(x, 0, {10}).size() == 1);
}

TEST_CASE("op rows: pad") {
  std::vector<OpRow> rows{pad_row({3, 5}, {{1, 2}}, 0),
                          pad_row({3, 5}, {{2, 0}, {0, 1}}, -1.5),
                          pad_row({2, 3, 4, 5}, {{1, 1}, {2, 0}}, 0),
                          pad_row({3}, {{0, 0}}, 4),
                          pad_row({0, 2}, {{1, 1}, {0, 0}}, 3),
                          pad_row({2, 0}, {{2, 1}}, 3),
                          pad_row({}, {}, 3)};
  rows.front().large = {{{300, 401}}};
  check(rows);
  CHECK(pad(tensor<std::int64_t>({1, 2}, {2}), {{1, 1}}, 7).values<std::int64_t>() ==
        std::vector<std::int64_t>{7, 1, 2, 7});
}

TEST_CASE("arange counts from 0 on, with nothing from the host, and leaves one block") {
  for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 9, 1000}) {
    std::vector<std::int64_t> expected(static_cast<std::size_t>(count));
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(arange(count).values<std::int64_t>() == expected);
  }
  CHECK_THROWS_AS(arange(-1), ShapeError);
  const Tensor n = arange(3);
  CHECK(greater_equal(unsqueeze(n, 1), n).values<bool>() ==
        std::vector<bool>{true, false, false, true, true, false, true, true, true});
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const Tensor x = arange(1000, device);
    CHECK(x.dtype() == DType::int64);
    CHECK(device.allocator().allocated() == 8192);  // 8000 bytes, rounded to 512
    // While the last 488 are made of the first ones: the number to be added, and a copy of what is read.
    CHECK(device.allocator().peak().allocated == 8192 + 512 + 4096);
  }
}

TEST_CASE("op rows: index_select and embedding") {
  std::vector<OpRow> rows{select_row({4, 3}, 0, {3, 0, 0, 1, 3}), select_row({4, 3}, -1, {2, 2}),
                          select_row({2, 3, 4}, 1, {1, 0, 2, 2}), select_row({5}, 0, {4}),
                          select_row({3, 0}, 0, {2, 2})};
  rows.front().large = {{{40, 300}}, {{3000}, 0, 0, spread(3000, 40)}};  // more than one piece
  rows.push_back({"embedding",
                  {{{4, 3}}, {{2, 1, 3}, 0, 0, {3, 0, 0, 1, 3, 3}}},
                  [](const Tensors& x) { return embedding(x[0], x[1]); },
                  [](const Plains& x) {
                    return filled({2, 1, 3, 3}, [&](const Index& index) {
                      return x[0].at({static_cast<std::int64_t>(x[1].at({index[0], index[1], index[2]})), index[3]});
                    });
                  },
                  0,
                  false});
  check(rows);
  CHECK(index_select(randn({3, 2}), 0, tensor<std::int64_t>({}, {0})).shape() == Shape{0, 2});
}

TEST_CASE(
    "embedding: more rows than one piece takes, with values and gradients by hand, and little memory beside them") {
  constexpr std::int64_t count = 9000, features = 128, words = 31;
  std::vector<float> values(words * features);
  std::iota(values.begin(), values.end(), 0.0F);
  const std::vector<std::int64_t> places = spread(count, words);
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const Tensor weight = tensor<float>(values, {words, features}, device, true);
    const Tensor index = tensor<std::int64_t>(places, {count}, device);
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    const Tensor y = embedding(weight, index);
    const memory::Bytes rows = count * features * 4;
    CHECK(device.allocator().allocated() - before == (rows + 511) / 512 * 512);
    CHECK(device.allocator().statistics().allocated_bytes.all.peak - before <= rows + (5 << 20));
    sum(y * y).backward();
    if (device.is_virtual()) continue;
    const auto rows_of = y.values<float>(), gradient = weight.grad().values<float>();
    std::vector<double> expected(values.size());
    bool same = true;
    for (std::size_t i = 0; i < places.size(); ++i) {
      for (std::size_t k = 0; k < features; ++k) {
        const std::size_t at = static_cast<std::size_t>(places[i]) * features + k;
        same = same && rows_of[i * features + k] == values[at];
        expected[at] += 2 * static_cast<double>(values[at]);
      }
    }
    CHECK(same);
    for (std::size_t i = 0; i < expected.size(); ++i)
      same = same && std::abs(static_cast<double>(gradient[i]) - expected[i]) <= 1e-5 * expected[i];
    CHECK(same);
  }
}

TEST_CASE("gradients of slices are added up in one array, whatever else is added there") {
  const Device device = Device::open("virtual:cpu");
  const memory::Bytes bytes = 512 * 256 * 4;
  {
    const DeviceScope scope(device);
    Tensor x = randn({512, 256}, {.requires_grad = true}) * 1.0;
    Tensor total = zeros({});
    for (const Tensor& part : split(x, 1, 32)) total = total + sum(sin(part));
    x = {};
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    total.backward();
    // The one array, and an eighth of it twice: a part's gradient and what it comes from. The leaf's own comes after.
    CHECK(device.allocator().statistics().allocated_bytes.all.peak <= before + bytes + 2 * bytes / 8 + 4096);
  }
  // Slices that overlap, with steps, beside gradients of all of x that others hold too (of an expanded number, of a
  // sum).
  const Tensor x = tensor<double>({1, 2, 3, 4, 5, 6}, {2, 3}, "cpu", true),
               y = zeros({2, 3}, {.dtype = DType::float64, .requires_grad = true});
  const Tensor first = slice(x, 1, 0, 2), second = slice(x, 1, 0, 3, 2), both = x + y;
  (sum(first) * 10.0 + sum(x) + sum(second * second) + sum(both * both)).backward();
  // 10 in columns 0 and 1, 1, 2 x in columns 0 and 2, 2 x.
  CHECK(x.grad().values<double>() == std::vector<double>{15, 15, 13, 27, 21, 25});
  CHECK(y.grad().values<double>() == std::vector<double>{2, 4, 6, 8, 10, 12});
}

TEST_CASE("op rows: flip") {
  const auto row = [](Shape shape, std::vector<int> axes, std::function<Tensor(const Tensor&)> op) {
    return OpRow{"flip " + shape.text(),
                 {{shape}},
                 [op](const Tensors& x) { return op(x[0]); },
                 [axes](const Plains& x) {
                   return filled(x[0].sizes, [&](Index index) {
                     for (const int axis : axes) {
                       const auto along = static_cast<std::size_t>(axis);
                       index[along] = x[0].sizes[along] - 1 - index[along];
                     }
                     return x[0].at(index);
                   });
                 }};
  };
  check({row({3, 5}, {0}, [](const Tensor& x) { return flip(x, {0}); }),
         row({3, 5}, {1}, [](const Tensor& x) { return flip(x, {-1}); }),
         row({2, 3, 4, 5}, {1, 3},
             [](const Tensor& x) {
               return flip(x, {3, 1});
             }),
         row({0, 3}, {0}, [](const Tensor& x) { return flip(x, {0}); }),
         row({4}, {}, [](const Tensor& x) { return flip(x, {}); })});
  CHECK_THROWS_WITH_AS((void)flip(zeros({2, 3}), {1, -1}), doctest::Contains("axis 1 of (2, 3) is given twice"),
                       ShapeError);
}

TEST_CASE("an embedding whose padding gets no gradient") {
  const Tensor weight = tensor<double>({1, 2, 3, 4, 5, 6}, {3, 2}, "cpu", true);
  const Tensor index = tensor<std::int64_t>({2, 0, 2, 1}, {2, 2});
  for (const std::int64_t padding : {2, -1}) {
    const Tensor y = embedding(weight, index, padding);
    CHECK(y.values<double>() == std::vector<double>{5, 6, 1, 2, 5, 6, 3, 4});
    Tensor(weight).zero_grad();
    sum(y).backward();
    CHECK(weight.grad().values<double>() == std::vector<double>{1, 1, 1, 1, 0, 0});
  }
  CHECK_THROWS_WITH_AS((void)embedding(weight, index, 3), doctest::Contains("allowed: -3 to 2"), ShapeError);
}
