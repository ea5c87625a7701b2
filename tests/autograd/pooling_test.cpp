#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

struct Window {
  Index kernel, stride, padding, dilation;
  bool ceil = false, include_pad = true;
};

/// How many windows: in ceil mode one more may hang over the end, if it begins inside the input or the padding before
/// it.
std::int64_t windows(std::int64_t in, const Window& w, std::size_t d) {
  const std::int64_t reach = w.dilation[d] * (w.kernel[d] - 1) + 1, room = in + 2 * w.padding[d] - reach;
  if (!w.ceil)
    return static_cast<std::int64_t>(std::floor(static_cast<double>(room) / static_cast<double>(w.stride[d]))) + 1;
  const std::int64_t count =
      static_cast<std::int64_t>(std::ceil(static_cast<double>(room) / static_cast<double>(w.stride[d]))) + 1;
  return (count - 1) * w.stride[d] >= in + w.padding[d] ? count - 1 : count;
}

Plain pooled(const Plain& x, const Window& w, bool largest) {
  const std::size_t rank = w.kernel.size(), lead = x.sizes.size() - rank;
  Index sizes(x.sizes.begin(), x.sizes.begin() + static_cast<std::ptrdiff_t>(lead));
  for (std::size_t d = 0; d < rank; ++d) sizes.push_back(windows(x.sizes[lead + d], w, d));
  return filled(sizes, [&](const Index& index) {
    double best = -INFINITY, total = 0, inside_count = 0, padded_count = 0;
    for_each(w.kernel, [&](const Index& tap) {
      Index from(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(lead));
      bool inside = true, in_padding = true;
      for (std::size_t d = 0; d < rank; ++d) {
        const std::int64_t at = index[lead + d] * w.stride[d] - w.padding[d] + tap[d] * w.dilation[d];
        from.push_back(at);
        inside = inside && at >= 0 && at < x.sizes[lead + d];
        in_padding = in_padding && at < x.sizes[lead + d] + w.padding[d];  // what hangs over in ceil mode never counts
      }
      padded_count += in_padding ? 1 : 0;
      if (!inside) return;
      inside_count += 1;
      total += x.at(from);
      best = std::fmax(best, x.at(from));
    });
    return largest ? best : total / (w.include_pad ? padded_count : inside_count);
  });
}

Extent extent(const Index& values) {
  if (values.size() == 1) return {values[0]};
  if (values.size() == 2) return {values[0], values[1]};
  return {values[0], values[1], values[2]};
}

OpRow row(std::string name, Shape x, bool largest, Window w) {
  const PoolOptions options{extent(w.kernel),   extent(w.stride), extent(w.padding),
                            extent(w.dilation), w.ceil,           w.include_pad};
  const std::size_t rank = w.kernel.size();
  return {std::move(name),
          {{x}},
          [=](const Tensors& t) {
            if (largest)
              return rank == 1   ? max_pool1d(t[0], options)
                     : rank == 2 ? max_pool2d(t[0], options)
                                 : max_pool3d(t[0], options);
            return rank == 1   ? avg_pool1d(t[0], options)
                   : rank == 2 ? avg_pool2d(t[0], options)
                               : avg_pool3d(t[0], options);
          },
          [=](const Plains& t) { return pooled(t[0], w, largest); },
          0,
          !largest};
}

}  // namespace

TEST_CASE("op rows: pooling") {
  std::vector<OpRow> rows;
  for (const bool largest : {true, false}) {
    const auto add = [&](const char* name, Shape x, Window w) {
      rows.push_back(row(std::string(largest ? "max " : "avg ") + name, x, largest, w));
    };
    add("1d", {2, 3, 7}, {{2}, {2}, {0}, {1}});
    add("1d overlapping", {2, 3, 7}, {{3}, {1}, {1}, {1}});
    add("1d ceil", {2, 2, 8}, {{3}, {3}, {1}, {1}, true});
    add("1d ceil without padding", {1, 2, 6}, {{2}, {4}, {0}, {1}, true});
    add("1d without batch", {3, 5}, {{2}, {1}, {0}, {1}});
    add("1d window of one", {2, 1, 3}, {{1}, {1}, {0}, {1}});
    add("1d without images", {0, 3, 4}, {{2}, {2}, {0}, {1}});
    add("2d", {2, 2, 5, 6}, {{2, 3}, {2, 3}, {0, 0}, {1, 1}});
    add("2d padding stride", {1, 2, 5, 6}, {{3, 2}, {2, 1}, {1, 1}, {1, 1}});
    add("2d ceil", {1, 2, 6, 7}, {{3, 3}, {2, 2}, {1, 0}, {1, 1}, true});
    add("2d ceil without counting padding", {1, 2, 6, 7}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}, true, false});
    add("3d", {1, 2, 4, 3, 5}, {{2, 2, 2}, {2, 1, 2}, {1, 0, 1}, {1, 1, 1}, false, false});
    add("3d without batch", {2, 4, 4, 4}, {{2, 3, 2}, {1, 1, 2}, {1, 1, 0}, {1, 1, 1}, true});
    add("1d ceil of a window that hangs over", {2, 2, 2}, {{4}, {3}, {0}, {1}, true});
    add("2d ceil of windows that hang over", {1, 2, 3, 2}, {{5, 4}, {3, 4}, {1, 0}, {1, 1}, true, false});
  }
  rows.push_back(row("max 1d dilation", {2, 2, 9}, true, {{3}, {2}, {1}, {2}}));
  rows.push_back(row("max 2d dilation ceil", {1, 2, 8, 7}, true, {{2, 3}, {2, 1}, {1, 0}, {3, 2}, true}));
  rows[7].large = {{{4, 30, 40, 41}}};
  rows[22].large = {{{4, 30, 40, 41}}};
  check(rows);
}

TEST_CASE("op rows: nearest upsampling") {
  std::vector<OpRow> rows;
  const auto add = [&](const char* name, Shape x, Index scale) {
    const auto reference = [=](const Plains& t) {
      Index sizes = t[0].sizes;
      for (std::size_t d = 0; d < scale.size(); ++d) sizes[d + 2] *= scale[d];
      return filled(sizes, [&](Index index) {
        for (std::size_t d = 0; d < scale.size(); ++d) index[d + 2] /= scale[d];
        return t[0].at(index);
      });
    };
    rows.push_back({name, {{x}}, [=](const Tensors& t) { return upsample_nearest(t[0], extent(scale)); }, reference});
  };
  add("1d", {2, 3, 4}, {2});
  add("1d by one", {2, 3, 4}, {1});
  add("1d without images", {0, 3, 4}, {2});
  add("2d", {2, 3, 4, 2}, {3, 2});
  add("2d along one axis", {2, 3, 1, 2}, {1, 5});
  add("3d", {2, 3, 2, 3, 2}, {2, 2, 2});
  add("3d of one channel", {2, 1, 2, 1, 3}, {1, 3, 2});
  rows[5].large = {{{2, 9, 8, 9, 10}}};
  check(rows);
  const Tensor x = ones({1, 2, 3, 4});
  CHECK(upsample_nearest(x, 2).shape() == Shape{1, 2, 6, 8});
}

TEST_CASE("max pooling keeps one byte per output, and gives a tie to its first place") {
  const Device device = Device::open("virtual:cpu");
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
  };
  Tensor x = zeros({8, 16, 32, 32}, {.device = device, .requires_grad = true});
  Tensor y = max_pool2d(x, {.kernel = 2});
  CHECK(saved() == 8 * 16 * 16 * 16);
  y = avg_pool2d(x, {.kernel = 2});
  CHECK(saved() == 0);

  const Tensor ties = tensor<double>({1, 1, 1, 1}, {1, 1, 4}, "cpu", true);
  sum(max_pool1d(ties, {.kernel = 2, .stride = 1})).backward();
  CHECK(ties.grad().values<double>() == std::vector<double>{1, 1, 1, 0});
}

namespace {

/// Averages from floor(i in / out) up to ceil((i + 1) in / out), along the last axes.
OpRow adaptive_row(Shape x, Index out) {
  const std::size_t lead = static_cast<std::size_t>(x.rank()) - out.size();
  return {"adaptive_avg_pool " + x.text(),
          {{x}},
          [=](const Tensors& t) {
            return out.size() == 1   ? adaptive_avg_pool1d(t[0], extent(out))
                   : out.size() == 2 ? adaptive_avg_pool2d(t[0], extent(out))
                                     : adaptive_avg_pool3d(t[0], extent(out));
          },
          [=](const Plains& t) {
            Index sizes(t[0].sizes.begin(), t[0].sizes.begin() + static_cast<std::ptrdiff_t>(lead));
            sizes.insert(sizes.end(), out.begin(), out.end());
            return filled(sizes, [&](const Index& index) {
              double total = 0, count = 0;
              for_each(t[0].sizes, [&](const Index& from) {
                for (std::size_t d = 0; d < sizes.size(); ++d) {
                  const auto in = static_cast<double>(t[0].sizes[d]), share = in / static_cast<double>(sizes[d]);
                  const auto at = static_cast<double>(index[d]), place = static_cast<double>(from[d]);
                  if (place < std::floor(at * share) || place >= std::ceil((at + 1) * share)) return;
                }
                total += t[0].at(from), count += 1;
              });
              return total / count;
            });
          }};
}

}  // namespace

TEST_CASE("op rows: adaptive average pooling") {
  std::vector<OpRow> rows{adaptive_row({2, 3, 7}, {3}),
                          adaptive_row({2, 3, 7}, {1}),
                          adaptive_row({3, 8}, {4}),
                          adaptive_row({1, 2, 3}, {5}),
                          adaptive_row({2, 2, 5, 6}, {3, 4}),
                          adaptive_row({1, 2, 4, 6}, {2, 3}),
                          adaptive_row({1, 2, 5, 6}, {1, 1}),
                          adaptive_row({1, 3, 5, 4}, {5, 3}),
                          adaptive_row({1, 2, 3, 4, 5}, {2, 3, 1}),
                          adaptive_row({2, 4, 4, 4}, {3, 3, 2}),
                          adaptive_row({0, 2, 5}, {2})};
  rows[4].large = {{{4, 30, 40, 41}}};
  check(rows);
}

TEST_CASE("adaptive pooling: the sizes it takes, and what it keeps") {
  CHECK_THROWS_WITH_AS((void)adaptive_avg_pool2d(zeros({3, 4}), 2),
                       doctest::Contains("[adaptive_avg_pool2d] input (3, 4) must be (N, C, 2 sizes) or (C, 2 sizes)"),
                       ShapeError);
  CHECK_THROWS_AS((void)adaptive_avg_pool1d(zeros({1, 2, 0}), 2), ShapeError);
  CHECK_THROWS_WITH_AS((void)adaptive_avg_pool1d(zeros({1, 2, 4}), 0), doctest::Contains("output size is 0"),
                       ShapeError);
  CHECK_THROWS_AS((void)adaptive_avg_pool3d(zeros({1, 2, 4, 4, 4}), {2, 2}), ShapeError);
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor x = randn({2, 16, 9, 9}, {.requires_grad = true}) * 1.0;
  const Tensor y = adaptive_avg_pool2d(x, 4);
  CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)] == 0);
}
