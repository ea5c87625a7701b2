#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// What a reference needs to know of a convolution, per spatial axis.
struct Sizes {
  Index stride, before, after, dilation;
  std::int64_t groups = 1;
};

Plain convolved(const Plains& x, const Sizes& s) {
  const Plain &image = x[0], &weight = x[1];
  const std::size_t rank = s.stride.size();
  const Index kernel(weight.sizes.begin() + 2, weight.sizes.end());
  Index sizes{image.size(0), weight.size(0)};
  for (std::size_t d = 0; d < rank; ++d) {
    std::int64_t count = 0;  // windows that begin and end inside the padded input
    const std::int64_t padded = image.sizes[d + 2] + s.before[d] + s.after[d];
    for (std::int64_t at = 0; at + s.dilation[d] * (kernel[d] - 1) < padded; at += s.stride[d]) ++count;
    sizes.push_back(count);
  }
  const std::int64_t in_per_group = weight.size(1), out_per_group = weight.size(0) / s.groups;
  return filled(sizes, [&](const Index& index) {
    double total = x.size() > 2 ? x[2].at({index[1]}) : 0;
    const std::int64_t group = index[1] / out_per_group;
    for (std::int64_t c = 0; c < in_per_group; ++c) {
      for_each(kernel, [&](const Index& tap) {
        Index from{index[0], group * in_per_group + c}, at{index[1], c};
        for (std::size_t d = 0; d < rank; ++d) {
          from.push_back(index[d + 2] * s.stride[d] - s.before[d] + tap[d] * s.dilation[d]);
          at.push_back(tap[d]);
          if (from.back() < 0 || from.back() >= image.sizes[d + 2]) return;
        }
        total += image.at(from) * weight.at(at);
      });
    }
    return total;
  });
}

Extent extent(const Index& values) {
  if (values.size() == 1) return {values[0]};
  if (values.size() == 2) return {values[0], values[1]};
  return {values[0], values[1], values[2]};
}

Padding padding(const Index& values) {
  if (values.size() == 1) return {values[0]};
  if (values.size() == 2) return {values[0], values[1]};
  return {values[0], values[1], values[2]};
}

OpRow row(std::string name, const Shape& x, const Shape& w, bool bias, Index stride, Index pad, Index dilation,
          std::int64_t groups = 1) {
  const ConvOptions options{extent(stride), padding(pad), extent(dilation), groups};
  std::vector<Input> inputs{{x}, {w}};
  if (bias) inputs.push_back({Shape{w[0]}});
  return {std::move(name), inputs,
          [options](const Tensors& t) {
            const Tensor b = t.size() > 2 ? t[2] : Tensor();
            return t[0].rank() == 3   ? conv1d(t[0], t[1], b, options)
                   : t[0].rank() == 4 ? conv2d(t[0], t[1], b, options)
                                      : conv3d(t[0], t[1], b, options);
          },
          [=](const Plains& t) {
            return convolved(t, {stride, pad, pad, dilation, groups});
          }};
}

/// The same with a relu behind it, in one operation.
OpRow with_relu(OpRow plain, const ConvOptions& options, bool keep_signs) {
  plain.name += keep_signs ? " relu, signs" : " relu";
  plain.op = [options, keep_signs](const Tensors& t) {
    const Tensor b = t.size() > 2 ? t[2] : Tensor();
    return t[0].rank() == 3   ? conv1d_relu(t[0], t[1], b, options, keep_signs)
           : t[0].rank() == 4 ? conv2d_relu(t[0], t[1], b, options, keep_signs)
                              : conv3d_relu(t[0], t[1], b, options, keep_signs);
  };
  plain.reference = [convolved = plain.reference](const Plains& t) {
    Plain y = convolved(t);
    for (double& value : y.values) value = std::max(value, 0.0);
    return y;
  };
  return plain;
}

/// Padding "same": half of the reach before, the odd one behind.
OpRow same(std::string name, const Shape& x, const Shape& w, Index dilation) {
  OpRow result = row(std::move(name), x, w, true, Index(dilation.size(), 1), Index(dilation.size(), 0), dilation);
  ConvOptions options{1, "same", extent(dilation), 1};
  Sizes sizes{Index(dilation.size(), 1), {}, {}, dilation, 1};
  for (std::size_t d = 0; d < dilation.size(); ++d) {
    const std::int64_t reach = dilation[d] * (w[static_cast<int>(d) + 2] - 1);
    sizes.before.push_back(reach / 2);
    sizes.after.push_back(reach - reach / 2);
  }
  result.op = [options](const Tensors& t) {
    const Tensor y = t[0].rank() == 3 ? conv1d(t[0], t[1], t[2], options) : conv2d(t[0], t[1], t[2], options);
    CHECK(y.size(2) == t[0].size(2));
    return y;
  };
  result.reference = [sizes](const Plains& t) { return convolved(t, sizes); };
  return result;
}

std::vector<OpRow> all_rows() {
  std::vector<OpRow> rows{
      row("conv1d", {2, 3, 7}, {4, 3, 3}, true, {1}, {0}, {1}),
      row("conv1d stride padding", {1, 2, 8}, {3, 2, 3}, false, {2}, {1}, {1}),
      row("conv1d dilation depthwise", {2, 3, 9}, {3, 1, 2}, true, {1}, {2}, {3}, 3),
      row("conv1d pointwise", {2, 3, 5}, {2, 3, 1}, true, {1}, {0}, {1}),
      row("conv1d of one", {1, 1, 1}, {1, 1, 1}, true, {1}, {0}, {1}),
      row("conv1d without images", {0, 3, 5}, {2, 3, 2}, true, {1}, {0}, {1}),
      row("conv1d without outputs", {2, 3, 5}, {0, 3, 2}, false, {1}, {0}, {1}),
      row("conv1d stride over the end", {1, 1, 6}, {1, 1, 1}, true, {4}, {0}, {1}),
      row("conv2d", {2, 3, 5, 4}, {2, 3, 3, 3}, true, {1, 1}, {1, 1}, {1, 1}),
      row("conv2d all different", {1, 4, 7, 6}, {6, 2, 3, 2}, true, {2, 3}, {2, 1}, {2, 1}, 2),
      row("conv2d depthwise multiplier", {1, 2, 4, 4}, {4, 1, 3, 3}, false, {1, 1}, {1, 1}, {1, 1}, 2),
      row("conv2d pointwise stride", {2, 3, 5, 5}, {2, 3, 1, 1}, true, {2, 2}, {0, 0}, {1, 1}),
      row("conv3d", {1, 2, 3, 4, 3}, {2, 2, 2, 3, 2}, true, {1, 1, 1}, {0, 1, 0}, {1, 1, 1}),
      row("conv3d all different", {1, 4, 4, 5, 3}, {2, 2, 2, 2, 3}, true, {1, 2, 1}, {1, 0, 1}, {2, 1, 1}, 2),
      row("conv3d without images", {0, 2, 3, 3, 3}, {2, 2, 2, 2, 2}, true, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}),
      same("conv1d same odd", {1, 2, 6}, {2, 2, 3}, {1}),
      same("conv1d same even", {1, 2, 6}, {2, 2, 4}, {1}),
      same("conv1d same even dilated", {1, 2, 7}, {2, 2, 2}, {3}),
      same("conv2d same", {1, 2, 5, 4}, {2, 2, 2, 3}, {1, 2}),
  };
  for (const bool keep_signs : {false, true}) {
    rows.push_back(with_relu(row("conv1d", {2, 3, 7}, {4, 3, 3}, true, {1}, {1}, {1}), {.padding = 1}, keep_signs));
    rows.push_back(with_relu(row("conv2d", {2, 2, 5, 4}, {3, 2, 3, 3}, true, {2, 2}, {1, 1}, {1, 1}),
                             {.stride = 2, .padding = 1}, keep_signs));
    rows.push_back(with_relu(row("conv2d", {2, 4, 5, 4}, {2, 2, 3, 3}, false, {1, 1}, {0, 0}, {1, 1}, 2), {.groups = 2},
                             keep_signs));
    rows.push_back(with_relu(row("conv3d", {1, 2, 3, 4, 3}, {2, 2, 2, 2, 2}, true, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}), {},
                             keep_signs));
    rows.push_back(with_relu(row("conv3d", {0, 2, 3, 3, 3}, {2, 2, 2, 2, 2}, true, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}), {},
                             keep_signs));
  }
  rows[8].large = {{{3, 8, 24, 25}}, {{12, 8, 3, 3}}, {{12}}};
  rows[12].large = {{{2, 6, 9, 10, 11}}, {{8, 6, 2, 3, 2}}, {{8}}};
  return rows;
}

}  // namespace

TEST_CASE("op rows: convolution, as the device chooses") { check(all_rows()); }

TEST_CASE("op rows: convolution, direct") {
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  check(all_rows());
}

TEST_CASE("op rows: convolution, gemm") {
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::gemm});
  check(all_rows());
}

TEST_CASE("the workspace of gemm is in the ledger: one unfolded image, and nothing of it is left") {
  const Device device = Device::open("cpu");
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::gemm});
  const Tensor x = randn({2, 3, 10, 10}, {.device = device}), w = randn({4, 3, 3, 3}, {.device = device});
  std::int64_t seen = 0;
  const auto subscription = device.allocator().subscribe([&](const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc && event.tag.category == memory::Category::workspace)
      seen = event.requested;
  });
  const Tensor y = conv2d(x, w);
  CHECK(seen == 3 * 3 * 3 * 8 * 8 * 4);
  CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::workspace)] == 0);
}
