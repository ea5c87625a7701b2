#include <doctest/doctest.h>

#include <mnemo/core/conv.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

struct Sizes {
  Index stride, padding, more, dilation;
  std::int64_t groups = 1;
};

/// Every element of x adds itself times the kernel to the result, where its stride puts it.
Plain reference(const Plains& x, const Sizes& sizes) {
  const Plain &input = x[0], &weight = x[1];
  const auto rank = static_cast<std::size_t>(input.rank() - 2);
  const std::int64_t out_each = weight.size(1), in_each = input.size(1) / sizes.groups;
  Index shape{input.size(0), out_each * sizes.groups};
  for (std::size_t a = 0; a < rank; ++a) {
    shape.push_back((input.sizes[a + 2] - 1) * sizes.stride[a] - 2 * sizes.padding[a] +
                    sizes.dilation[a] * (weight.sizes[a + 2] - 1) + sizes.more[a] + 1);
  }
  Plain y = filled(shape, [&](const Index& index) { return x.size() > 2 ? x[2].at({index[1]}) : 0.0; });
  for_each(input.sizes, [&](const Index& from) {
    for_each(weight.sizes, [&](const Index& tap) {
      if (tap[0] != from[1]) return;
      Index to{from[0], from[1] / in_each * out_each + tap[1]};
      for (std::size_t a = 0; a < rank; ++a) {
        to.push_back(from[a + 2] * sizes.stride[a] - sizes.padding[a] + tap[a + 2] * sizes.dilation[a]);
        if (to.back() < 0 || to.back() >= shape[a + 2]) return;
      }
      y.at(to) += input.at(from) * weight.at(tap);
    });
  });
  return y;
}

Extent extent(const Index& values) {
  return values.size() == 1   ? Extent{values[0]}
         : values.size() == 2 ? Extent{values[0], values[1]}
                              : Extent{values[0], values[1], values[2]};
}

OpRow row(const Shape& x, const Shape& weight, bool bias, const Sizes& sizes) {
  std::vector<Input> inputs{{x}, {weight}};
  if (bias) inputs.push_back({{weight[1] * sizes.groups}});
  const ConvTransposeOptions options{.stride = extent(sizes.stride),
                                     .padding = extent(sizes.padding),
                                     .output_padding = extent(sizes.more),
                                     .dilation = extent(sizes.dilation),
                                     .groups = sizes.groups};
  return {"conv_transpose " + x.text() + weight.text(), inputs,
          [=](const Tensors& t) {
            const Tensor given = bias ? t[2] : Tensor();
            return x.rank() == 3   ? conv_transpose1d(t[0], t[1], given, options)
                   : x.rank() == 4 ? conv_transpose2d(t[0], t[1], given, options)
                                   : conv_transpose3d(t[0], t[1], given, options);
          },
          [=](const Plains& t) { return reference(t, sizes); }};
}

std::vector<OpRow> all_rows() {
  std::vector<OpRow> rows{
      row({2, 3, 5}, {3, 4, 3}, true, {{1}, {0}, {0}, {1}}),
      row({1, 4, 5}, {4, 2, 3}, true, {{3}, {1}, {2}, {2}, 2}),
      row({2, 3, 4, 3}, {3, 2, 2, 2}, true, {{2, 2}, {0, 0}, {0, 0}, {1, 1}}),
      row({1, 2, 3, 4}, {2, 3, 3, 2}, false, {{2, 1}, {1, 0}, {1, 0}, {1, 2}}),
      row({2, 4, 2, 2}, {4, 1, 3, 3}, true, {{2, 2}, {1, 1}, {1, 1}, {1, 1}, 4}),
      row({1, 2, 2, 3, 2}, {2, 2, 2, 3, 1}, true, {{2, 1, 3}, {0, 1, 0}, {1, 0, 2}, {1, 1, 1}}),
      row({0, 2, 3}, {2, 3, 2}, true, {{2}, {0}, {0}, {1}}),
  };
  rows[2].large = {{{2, 3, 40, 41}}, {{3, 2, 2, 2}}, {{2}}};
  return rows;
}

}  // namespace

TEST_CASE("op rows: transposed convolution, as the device chooses") { check(all_rows()); }

TEST_CASE("op rows: transposed convolution, direct") {
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  check(all_rows());
}

TEST_CASE("a transposed convolution is the gradient of the convolution with its options") {
  const Tensor y = randn({2, 4, 7, 6}, {.requires_grad = true}), w = randn({6, 2, 3, 2});
  const ConvOptions options{.stride = {2, 3}, .padding = 1, .dilation = {1, 2}, .groups = 2};
  const Tensor x = conv2d(y, w, {}, options);
  const Tensor g = randn(x.shape());
  x.backward(g);
  const Tensor transposed = conv_transpose2d(
      g, w, {}, {.stride = {2, 3}, .padding = 1, .output_padding = {0, 2}, .dilation = {1, 2}, .groups = 2});
  REQUIRE(transposed.shape() == y.shape());
  CHECK(transposed.values<float>() == y.grad().values<float>());
}

TEST_CASE("a transposed convolution keeps its input, and not its result") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  const Tensor x = randn({4, 8, 16, 16}, {.requires_grad = true}) * 1.0;
  const Tensor weight = randn({8, 4, 2, 2}, {.requires_grad = true});
  const memory::Bytes before = device.allocator().allocated();
  const Tensor y = conv_transpose2d(x, weight, {}, {.stride = 2});
  CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)] ==
        4 * 8 * 16 * 16 * 4);
  CHECK(device.allocator().allocated() == before + 4 * 4 * 32 * 32 * 4);
}
