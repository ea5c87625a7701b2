// index_add and scatter_add against loops, by hand, and in bytes.
#include <doctest/doctest.h>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// Numbers from 0 to limit - 1, not in order.
std::vector<std::int64_t> spread(std::int64_t count, std::int64_t limit) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i * 7919 % 1009) % limit;
  return places;
}

/// x with every element of `source` added where place(its index) says along the axis.
Plain added(Plain x, const Plain& source, std::size_t axis, const std::function<double(const Index&)>& place) {
  for_each(source.sizes, [&](const Index& index) {
    Index to = index;
    to[axis] = static_cast<std::int64_t>(place(index));
    x.at(to) += source.at(index);
  });
  return x;
}

OpRow index_row(const Shape& shape, int axis, std::size_t along, const std::vector<std::int64_t>& places) {
  const auto count = static_cast<std::int64_t>(places.size());
  return {"index_add " + shape.text(),
          {{shape}, {{count}, 0, 0, places}, {shape.with(static_cast<int>(along), count)}},
          [=](const Tensors& x) { return index_add(x[0], axis, x[1], x[2]); },
          [=](const Plains& x) {
            return added(x[0], x[2], along, [&](const Index& index) { return x[1].at({index[along]}); });
          }};
}

OpRow scatter_row(const Shape& shape, int axis, std::size_t along, std::int64_t count) {
  const Shape source = shape.with(static_cast<int>(along), count);
  return {
      "scatter_add " + shape.text(),
      {{shape}, {source, 0, 0, spread(source.numel(), shape[static_cast<int>(along)])}, {source}},
      [=](const Tensors& x) { return scatter_add(x[0], axis, x[1], x[2]); },
      [=](const Plains& x) { return added(x[0], x[2], along, [&](const Index& index) { return x[1].at(index); }); }};
}

Tensor places(const std::vector<std::int64_t>& values, const Shape& shape) { return tensor(values, shape); }

}  // namespace

TEST_CASE("op rows: index_add and scatter_add") {
  std::vector<OpRow> rows{index_row({4, 3}, 0, 0, {3, 0, 0, 1, 3}),
                          index_row({4, 3}, -1, 1, {2, 2}),
                          index_row({2, 3, 4}, 1, 1, {1, 0, 2, 2}),
                          index_row({5}, 0, 0, {4}),
                          index_row({3, 0}, 0, 0, {2, 2}),
                          scatter_row({4, 3}, 0, 0, 6),
                          scatter_row({4, 3}, -1, 1, 2),
                          scatter_row({2, 3, 4}, 1, 1, 5),
                          scatter_row({5}, 0, 0, 3)};
  rows[0].large = {{{40, 300}}, {{3000}, 0, 0, spread(3000, 40)}, {{3000, 300}}};  // more than one piece
  rows[5].large = {{{40, 300}}, {{70, 300}, 0, 0, spread(70 * 300, 40)}, {{70, 300}}};
  check(rows);
}

TEST_CASE("index_add and scatter_add leave x alone, add in order, and promote") {
  const Tensor x = tensor<double>({1, 2, 3, 4, 5, 6}, {3, 2}, "cpu", true),
               more = tensor<float>({10, 20, 30, 40, 50, 60}, {3, 2}, "cpu", true);
  const Tensor rows = index_add(x, 0, places({2, 0, 2}, {3}), more);
  CHECK(rows.dtype() == DType::float64);
  CHECK(rows.values<double>() == std::vector<double>{31, 42, 3, 4, 65, 86});
  CHECK(x.values<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  rows.backward(tensor<double>({1, 2, 3, 4, 5, 6}, {3, 2}));
  CHECK(x.grad().values<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(more.grad().dtype() == DType::float32);
  CHECK(more.grad().values<double>() == std::vector<double>{5, 6, 1, 2, 5, 6});
  const Tensor y = zeros({2, 2}, {.dtype = DType::bfloat16, .requires_grad = true});
  const Tensor elements = scatter_add(y, 1, places({1, 1, 0, 1}, {2, 2}), to(slice(more, 0, 0, 2), DType::float32));
  CHECK(elements.dtype() == DType::float32);
  CHECK(elements.values<double>() == std::vector<double>{0, 30, 30, 40});
  sum(elements).backward();
  CHECK(y.grad().dtype() == DType::bfloat16);
  // 1 is too little for 1e8, but not for what is left of it: in float32 the order shows.
  CHECK(index_add(zeros({1}), 0, places({0, 0, 0, 0}, {4}), tensor<float>({1, 1e8F, -1e8F, 1}, {4})).item() == 1);
  CHECK(index_add(tensor<std::int64_t>({1, 2}, {2}), 0, places({1, 1}, {2}), tensor<std::int64_t>({5, 6}, {2}))
            .values<std::int64_t>() == std::vector<std::int64_t>{1, 13});
  // Nothing is added.
  CHECK(index_add(x, 0, tensor<std::int64_t>({}, {0}), zeros({0, 2})).values<double>() == x.values<double>());
}

TEST_CASE("index_add and scatter_add keep the index alone, for the source's gradient, and need little beside") {
  constexpr std::int64_t count = 32768, features = 128, nodes = 1024;
  constexpr memory::Bytes result = nodes * features * 4, source = count * features * 4, index = count * 8;
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const Tensor x = zeros({nodes, features}, {.requires_grad = true}),
                 messages = ones({count, features}, {.requires_grad = true});
    const memory::Bytes before = device.allocator().allocated();
    const auto more = [&] { return device.allocator().allocated() - before; };
    const auto to_nodes = [&] { return tensor(spread(count, nodes), {count}, device); };
    {
      Tensor places = to_nodes();
      device.allocator().reset_peak();
      const Tensor y = index_add(x, 0, places, messages);
      CHECK(more() == index + result);
      CHECK(device.allocator().statistics().allocated_bytes.all.peak - before <= index + result + (4 << 20));
      places = {};
      CHECK(more() == index + result);
      y.backward(ones(y.shape()));
      CHECK(more() == 2 * result + source);  // y, and the leaves' gradients
    }
    {
      // Of a source in another dtype, or that is not row-major, there is a copy of one piece at a time.
      const Tensor half = no_grad([&] { return to(messages, DType::bfloat16); });
      const Tensor turned = no_grad([&] { return transpose(contiguous(transpose(messages, 0, 1)), 0, 1); });
      for (const Tensor& other : {half, turned}) {
        const Tensor places = to_nodes();
        const memory::Bytes there = more();
        device.allocator().reset_peak();
        (void)index_add(x.detach(), 0, places, other);
        CHECK(device.allocator().statistics().allocated_bytes.all.peak - before <= there + result + (6 << 20));
      }
    }
    {
      const Tensor elements = no_grad([&] {
        return scatter_add(x, 0, contiguous(expand(unsqueeze(to_nodes(), 1), {count, features})), messages);
      });
      CHECK(more() == 2 * result + source);
      const Tensor fixed = index_add(x, 0, to_nodes(), messages.detach());
      CHECK(more() == 3 * result + source);
      const Tensor z = scatter_add(x, 0, contiguous(expand(unsqueeze(to_nodes(), 1), {count, features})), messages);
      CHECK(more() == 4 * result + source + features * index);
    }
  }
}

TEST_CASE("index_add and scatter_add say what does not fit") {
  const Tensor x = zeros({2, 3});
  const auto refuses = [](const std::function<void()>& call, const char* text) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(call(), doctest::Contains(text), ShapeError);
  };
  refuses(
      [&] {
        (void)index_add(x, 1, places({0, 3}, {2}), zeros({2, 2}));
      },
      "[index_add] index 3 in (2) is out of range for axis 1 of (2, 3): allowed are 0 to 2");
  refuses([&] { (void)index_add(x, 0, places({-1}, {1}), zeros({1, 3})); }, "index -1 in (1) is out of range");
  refuses(
      [&] {
        (void)index_add(x, 0, places({0, 1}, {2}), zeros({3, 3}));
      },
      "[index_add] source (3, 3) for x (2, 3) and 2 numbers must be (2, 3)");
  refuses(
      [&] {
        (void)index_add(x, 0, places({0, 1}, {2, 1}), zeros({2, 3}));
      },
      "[index_add] index (2, 1) must have one dimension");
  refuses([&] { (void)index_add(zeros({0, 3}), 0, places({0}, {1}), zeros({1, 3})); }, "(0, 3), whose axis 0 is empty");
  refuses([&] { (void)index_add(x, 2, places({0}, {1}), zeros({1, 3})); }, "[index_add] axis 2");
  refuses(
      [&] {
        (void)scatter_add(x, 0, places({0, 1, 2}, {1, 3}), zeros({1, 3}));
      },
      "[scatter_add] index 2 in (1, 3) is out of range for axis 0 of (2, 3): allowed are 0 to 1");
  refuses(
      [&] {
        (void)scatter_add(x, 0, places({0, 1}, {1, 2}), zeros({1, 3}));
      },
      "[scatter_add] index (1, 2) must have the shape of what is added, (1, 3)");
  refuses(
      [&] {
        (void)scatter_add(x, 0, places({0, 1}, {1, 2}), zeros({1, 2}));
      },
      "[scatter_add] (1, 2) and what it is added to, (2, 3), must have equal sizes outside axis 0");
  CHECK_THROWS_AS((void)index_add(x, 0, zeros({2}), x), DTypeError);
  CHECK_THROWS_AS((void)scatter_add(x, 0, x, x), DTypeError);
  CHECK_THROWS_AS((void)index_add(x, 0, places({0}, {1}), zeros({1, 3}, {.device = Device("virtual:cpu")})),
                  DeviceError);
}
