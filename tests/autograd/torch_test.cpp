// Values and gradients against those that PyTorch computes (fixtures/make.py, fixtures/make_options.py).
#include <doctest/doctest.h>

#include <limits>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_order.h>

#include "autograd/fixtures/torch_options.h"
#include "autograd/fixtures/torch_values.h"
#include "torch_numbers.h"

using namespace mnemo;

namespace {

using Values = std::map<std::string, std::vector<double>>;

void compare(const std::string& name, const Tensor& x, const Values& values = kTorch) {
  CAPTURE(name);
  check_as_torch(x.values<double>(), values.at(name));
}

template <class Op>
void check(const std::string& name, const Op& op, const std::vector<Shape>& shapes, const Values& values = kTorch) {
  std::vector<Tensor> leaves;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    leaves.push_back(torch_numbers(static_cast<std::int64_t>(i), shapes[i], true));
  const Tensor y = op(leaves);
  y.backward(torch_numbers(99, y.shape()));
  compare(name, y, values);
  for (std::size_t i = 0; i < leaves.size(); ++i) compare(name + ".grad" + std::to_string(i), leaves[i].grad(), values);
}

/// The same against make_options.py.
template <class Op>
void check_option(const std::string& name, const Op& op, const std::vector<Shape>& shapes) {
  check(name, op, shapes, kTorchOptions);
}

using Leaves = std::vector<Tensor>;

}  // namespace

TEST_CASE("PyTorch agrees: convolutions") {
  for (const auto choice : {ConvPolicy::Choice::direct, ConvPolicy::Choice::gemm}) {
    const ConvPolicyScope policy({.choice = choice});
    check("conv3d",
          [](const Leaves& x) {
            return conv3d(x[0], x[1], x[2],
                          {.stride = {2, 1, 2}, .padding = {1, 0, 1}, .dilation = {1, 2, 1}, .groups = 2});
          },
          {{1, 4, 3, 5, 4}, {6, 2, 2, 3, 2}, {6}});
    check("conv2d_same", [](const Leaves& x) { return conv2d(x[0], x[1], x[2], {.padding = "same"}); },
          {{1, 2, 4, 5}, {2, 2, 2, 3}, {2}});
  }
}

TEST_CASE("PyTorch agrees: batch_norm in training, with its running statistics") {
  const Tensor mean = torch_numbers(7, {2}), variance = torch_numbers(8, {2}) + 2.0;
  check(
      "batch_norm",
      [&](const Leaves& x) { return batch_norm(x[0], x[1], x[2], mean, variance, {.momentum = 0.3, .epsilon = 1e-4}); },
      {{3, 2, 4}, {2}, {2}});
  compare("batch_norm.running_mean", mean);
  compare("batch_norm.running_var", variance);
}

TEST_CASE("PyTorch agrees: cross_entropy with smoothing and an ignored class") {
  const Tensor targets = tensor<std::int64_t>({0, 1, 2, 3, 1, 0}, {3, 2});
  for (const auto& [name, reduction] :
       {std::pair("mean", Reduction::mean), std::pair("sum", Reduction::sum), std::pair("none", Reduction::none)}) {
    const CrossEntropyOptions options{reduction, 0.1, 1};
    check(std::string("cross_entropy_") + name, [&](const Leaves& x) { return cross_entropy(x[0], targets, options); },
          {{3, 4, 2}});
  }
}

TEST_CASE("PyTorch agrees: interpolate and rms_norm") {
  const auto resampled = [](const std::string& name, const Shape& shape, const Extent& out, InterpolateOptions how) {
    check_option("interpolate_" + name, [=](const Leaves& x) { return interpolate(x[0], out, how); }, {shape});
  };
  for (const bool corners : {false, true}) {
    const std::string end = corners ? "_corners" : "";
    resampled("linear" + end, {1, 2, 5}, 8, {ResampleMode::linear, corners});
    resampled("bilinear" + end, {1, 1, 3, 4}, {5, 2}, {ResampleMode::linear, corners});
    resampled("bicubic" + end, {1, 1, 4, 3}, {3, 7}, {ResampleMode::cubic, corners});
    resampled("trilinear" + end, {1, 1, 2, 3, 2}, {4, 2, 3}, {ResampleMode::linear, corners});
  }
  resampled("nearest", {1, 1, 3, 4}, {5, 3}, {ResampleMode::nearest});
  resampled("area", {1, 1, 3, 4}, {5, 3}, {ResampleMode::average});
  check_option("rms_norm", [](const Leaves& x) { return rms_norm(x[0], {3, 2}, x[1], 1e-3); }, {{4, 3, 2}, {3, 2}});
}

TEST_CASE("PyTorch agrees: activations and pools") {
  check("gelu", [](const Leaves& x) { return gelu(x[0]); }, {{9}});
  check("silu", [](const Leaves& x) { return silu(x[0]); }, {{9}});
  check("log_softmax", [](const Leaves& x) { return log_softmax(x[0], 1); }, {{2, 3, 2}});
  const PoolOptions pool{.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true};
  check("max_pool2d", [&](const Leaves& x) { return max_pool2d(x[0], pool); }, {{1, 2, 6, 5}});
  check("max_pool1d_dilated",
        [](const Leaves& x) { return max_pool1d(x[0], {.kernel = 2, .stride = 3, .dilation = 3, .ceil_mode = true}); },
        {{2, 9}});
  check("avg_pool2d", [&](const Leaves& x) { return avg_pool2d(x[0], pool); }, {{1, 2, 6, 6}});
  PoolOptions inside = pool;
  inside.count_include_pad = false;
  check("avg_pool2d_inside", [&](const Leaves& x) { return avg_pool2d(x[0], inside); }, {{1, 2, 6, 6}});
}

TEST_CASE("PyTorch agrees: layer_norm, group_norm, conv_transpose2d, variance and norm") {
  check("layer_norm",
        [](const Leaves& x) {
          return layer_norm(x[0], {3, 4}, x[1], x[2], 1e-4);
        },
        {{2, 3, 4}, {3, 4}, {3, 4}});
  check("group_norm", [](const Leaves& x) { return group_norm(x[0], 2, x[1], x[2]); }, {{2, 4, 3}, {4}, {4}});
  check("conv_transpose2d",
        [](const Leaves& x) {
          return conv_transpose2d(
              x[0], x[1], x[2],
              {.stride = {2, 3}, .padding = 1, .output_padding = {0, 2}, .dilation = {2, 1}, .groups = 2});
        },
        {{1, 4, 3, 4}, {4, 3, 2, 3}, {6}});
  check("var", [](const Leaves& x) { return variance(x[0], {0, 2}); }, {{2, 3, 4}});
  check("norm", [](const Leaves& x) { return norm(x[0], {1}); }, {{3, 4}});
}

TEST_CASE("PyTorch agrees: losses, their mean and one by one") {
  const Tensor targets = tensor<std::int64_t>({0, 1, 2, 3, 1, 0}, {3, 2});
  for (const Reduction reduction : {Reduction::mean, Reduction::none}) {
    const char* name = reduction == Reduction::mean ? "_mean" : "_none";
    const auto named = [&](const char* loss) { return std::string(loss) + name; };
    check(named("smooth_l1_loss"), [=](const Leaves& x) { return smooth_l1_loss(x[0], x[1], 0.3, reduction); },
          {{2, 3}, {2, 3}});
    check(named("huber_loss"), [=](const Leaves& x) { return huber_loss(x[0], x[1], 0.3, reduction); },
          {{2, 3}, {2, 3}});
    check(named("binary_cross_entropy_with_logits"),
          [=](const Leaves& x) { return binary_cross_entropy_with_logits(x[0], x[1], {reduction}); }, {{2, 3}, {2, 3}});
    check(named("nll_loss"), [=](const Leaves& x) { return nll_loss(x[0], targets, {reduction, 1}); }, {{3, 4, 2}});
    check(named("kl_div"), [=](const Leaves& x) { return kl_div(x[0], x[1] + 1.1, reduction); }, {{2, 3}, {2, 3}});
  }
}

TEST_CASE("PyTorch agrees: losses with weights, of classes, of elements and of positive targets") {
  const Tensor targets = tensor<std::int64_t>({0, 1, 2, 3, 1, 0}, {3, 2});
  const Tensor weight = torch_numbers(7, {4}) + 1.5, each = torch_numbers(8, {3, 1}) + 1.5;
  const Tensor positive = torch_numbers(9, {2}) + 1.5;
  for (const auto& [name, reduction] :
       {std::pair("_mean", Reduction::mean), std::pair("_sum", Reduction::sum), std::pair("_none", Reduction::none)}) {
    const CrossEntropyOptions plain{reduction, 0, {}, weight}, smooth{reduction, 0.1, 1, weight};
    const NllLossOptions ignoring{reduction, 1, weight};
    const BinaryCrossEntropyOptions binary{reduction, each, positive};
    const auto named = [suffix = name](const char* loss) { return std::string(loss) + suffix; };
    check_option(named("cross_entropy"), [&](const Leaves& x) { return cross_entropy(x[0], targets, plain); },
                 {{3, 4, 2}});
    check_option(named("cross_entropy_smooth"), [&](const Leaves& x) { return cross_entropy(x[0], targets, smooth); },
                 {{3, 4, 2}});
    check_option(named("nll_loss"), [&](const Leaves& x) { return nll_loss(x[0], targets, ignoring); }, {{3, 4, 2}});
    check_option(named("binary_cross_entropy_with_logits"),
                 [&](const Leaves& x) { return binary_cross_entropy_with_logits(x[0], x[1], binary); },
                 {{3, 2}, {3, 2}});
  }
}

TEST_CASE("PyTorch agrees: an embedding's padding, activations, and what goes by place") {
  const Tensor index = tensor<std::int64_t>({3, 0, 1, 3, 3, 2}, {3, 2});
  check_option("embedding", [&](const Leaves& x) { return embedding(x[0], index, 3); }, {{4, 2}});
  check_option("softplus", [](const Leaves& x) { return softplus(x[0], 2); }, {{9}});
  check_option("elu", [](const Leaves& x) { return elu(x[0], 0.7); }, {{9}});
  check_option("gelu_tanh", [](const Leaves& x) { return gelu_tanh(x[0]); }, {{9}});
  check_option("hardswish", [](const Leaves& x) { return hardswish(4.0 * x[0]); }, {{9}});
  check_option("mish", [](const Leaves& x) { return mish(4.0 * x[0]); }, {{9}});
  check_option("prelu", [](const Leaves& x) { return prelu(x[0], x[1]); }, {{2, 3, 2}, {3}});
  const Tensor bound = tensor<double>({0.2}, {});
  check_option("max", [&](const Leaves& x) { return max(maximum(x[0], bound)); }, {{3, 3}});
  check_option("min", [&](const Leaves& x) { return min(minimum(x[0], bound)); }, {{3, 3}});
  check_option("log_sum_exp", [](const Leaves& x) { return log_sum_exp(x[0], {0, 2}); }, {{2, 3, 2}});
  check_option("cumsum", [](const Leaves& x) { return cumsum(x[0], 1); }, {{2, 4, 2}});
  check_option("flip", [](const Leaves& x) { return flip(x[0], {0, 2}); }, {{2, 2, 3}});
  const Tensor slices = tensor<std::int64_t>({2, 0, 2, 2}, {4}),
               elements = tensor<std::int64_t>({1, 2, 1, 0, 1, 2, 0, 0}, {4, 2});
  check_option("index_add", [&](const Leaves& x) { return index_add(x[0], 1, slices, x[1]); }, {{2, 3, 2}, {2, 4, 2}});
  check_option("scatter_add", [&](const Leaves& x) { return scatter_add(x[0], 0, elements, x[1]); }, {{3, 2}, {4, 2}});
  check_option("tril", [](const Leaves& x) { return tril(x[0], 1); }, {{3, 4}});
  check_option("triu", [](const Leaves& x) { return triu(x[0], -1); }, {{4, 3}});
}

TEST_CASE("PyTorch agrees: the order of elements, of equal ones and NaN too") {
  check_option("sort", [](const Leaves& x) { return sort(x[0], 1, true).values; }, {{2, 5, 2}});
  check_option("topk", [](const Leaves& x) { return topk(x[0], 3, 0, false).values; }, {{5, 2}});
  check_option("repeat", [](const Leaves& x) { return repeat(x[0], {2, 1, 3}); }, {{2, 2}});
  check_option("roll", [](const Leaves& x) { return roll(x[0], -2, 1); }, {{2, 5}});
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const Tensor x =
      tensor<double>({2, -1, std::numeric_limits<double>::quiet_NaN(), 2, -0.0, infinite, 0, -1, 2, -infinite}, {10});
  compare("argsort_rising", argsort(x), kTorchOptions);
  compare("argsort_falling", argsort(x, -1, true), kTorchOptions);
  compare("arg_min", stack({arg_min(x, 0), arg_min(slice(x, 0, 3, 10), 0)}), kTorchOptions);
}

TEST_CASE("PyTorch agrees: the gradient of attention's mask") {
  check_option("attention_mask", [](const Leaves& x) { return scaled_dot_product_attention(x[0], x[1], x[2], x[3]); },
               {{2, 2, 3, 2}, {2, 2, 4, 2}, {2, 2, 4, 3}, {2, 3, 4}});
}

TEST_CASE("PyTorch agrees: adaptive pools") {
  check_option("adaptive_avg_pool1d", [](const Leaves& x) { return adaptive_avg_pool1d(x[0], 5); }, {{1, 2, 7}});
  check_option("adaptive_avg_pool2d",
               [](const Leaves& x) {
                 return adaptive_avg_pool2d(x[0], {3, 7});
               },
               {{1, 1, 5, 4}});
  check_option("adaptive_avg_pool3d",
               [](const Leaves& x) {
                 return adaptive_avg_pool3d(x[0], {2, 1, 3});
               },
               {{1, 3, 4, 4}});
}
