#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/nn/embedding.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/norms.h>
#include <mnemo/nn/sequential.h>

#include "nn/visit_completeness.h"

using namespace mnemo;
using namespace mnemo::nn;

namespace {

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> result;
  for (const NamedTensor& named : tensors) result.push_back(named.name + " " + named.tensor.shape().text());
  return result;
}

/// Uniform in [-bound, bound): within it, close to both ends, and with the moments of that distribution.
void check_uniform(const Tensor& x, double bound) {
  const auto values = x.values<double>();
  const auto count = static_cast<double>(values.size());
  double low = 0, high = 0, sum = 0, squares = 0;
  for (const double value : values) {
    low = std::min(low, value), high = std::max(high, value);
    sum += value, squares += value * value;
  }
  CHECK(low >= -bound * 1.0000001);
  CHECK(high <= bound * 1.0000001);
  CHECK(low < -0.98 * bound);
  CHECK(high > 0.98 * bound);
  CHECK(std::abs(sum / count) < 5 * bound / std::sqrt(3 * count));
  CHECK(squares / count == doctest::Approx(bound * bound / 3).epsilon(0.05));
}

}  // namespace

TEST_CASE("visit names every parameter and buffer of every layer") {
  check_visit_is_complete("Conv1d", [] { return Conv1d({.in = 3, .out = 4, .kernel = 3}); });
  check_visit_is_complete("Conv2d without bias", [] {
    return Conv2d({.in = 4, .out = 6, .kernel = {3, 1}, .groups = 2, .bias = false});
  });
  check_visit_is_complete("Conv3d", [] { return Conv3d({.in = 3, .out = 4, .kernel = 3}); });
  check_visit_is_complete("Linear", [] { return Linear({.in = 3, .out = 4}); });
  check_visit_is_complete("Linear without bias", [] { return Linear({.in = 3, .out = 4, .bias = false}); });
  check_visit_is_complete("PReLU", [] { return PReLU(3); });
  check_visit_is_complete("BatchNorm1d", [] { return BatchNorm1d({.channels = 3}); });
  check_visit_is_complete("BatchNorm2d without affine", [] { return BatchNorm2d({.channels = 3, .affine = false}); });
  check_visit_is_complete("BatchNorm3d without statistics",
                          [] { return BatchNorm3d({.channels = 3, .track_running_stats = false}); });
  check_visit_is_complete("ConvTranspose1d", [] { return ConvTranspose1d({.in = 3, .out = 4, .kernel = 3}); });
  check_visit_is_complete("ConvTranspose2d without bias", [] {
    return ConvTranspose2d({.in = 4, .out = 6, .kernel = {3, 1}, .groups = 2, .bias = false});
  });
  check_visit_is_complete("ConvTranspose3d", [] { return ConvTranspose3d({.in = 3, .out = 4, .kernel = 3}); });
  check_visit_is_complete("LayerNorm", [] { return LayerNorm({.shape = {3, 4}}); });
  check_visit_is_complete("RMSNorm", [] { return RMSNorm({.shape = {3, 4}}); });
  check_visit_is_complete("LayerNorm without bias", [] { return LayerNorm({.shape = {4}, .bias = false}); });
  check_visit_is_complete("LayerNorm without affine", [] { return LayerNorm({.shape = {4}, .affine = false}); });
  check_visit_is_complete("GroupNorm", [] { return GroupNorm({.groups = 2, .channels = 4}); });
  check_visit_is_complete("GroupNorm without affine",
                          [] { return GroupNorm({.groups = 2, .channels = 4, .affine = false}); });
  check_visit_is_complete("Embedding", [] { return Embedding({.count = 10, .features = 4}); });
  check_visit_is_complete("Embedding with padding",
                          [] { return Embedding({.count = 10, .features = 4, .padding = 0}); });
  check_visit_is_complete("Identity", [] { return Identity(); });
  check_visit_is_complete("GlobalAvgPool", [] { return GlobalAvgPool(); });
  check_visit_is_complete("AdaptiveAvgPool1d", [] { return AdaptiveAvgPool1d(3); });
  check_visit_is_complete("AdaptiveAvgPool2d", [] { return AdaptiveAvgPool2d({3, 2}); });
  check_visit_is_complete("AdaptiveAvgPool3d", [] { return AdaptiveAvgPool3d({3, 2, 1}); });
  check_visit_is_complete("Upsample", [] { return Upsample(2); });
  check_visit_is_complete("Dropout", [] { return Dropout(0.5); });
  check_visit_is_complete("ReLU", [] { return ReLU(); });
  check_visit_is_complete("LeakyReLU", [] { return LeakyReLU(0.1); });
  check_visit_is_complete("Sigmoid", [] { return Sigmoid(); });
  check_visit_is_complete("Tanh", [] { return nn::Tanh(); });
  check_visit_is_complete("GELU", [] { return GELU(); });
  check_visit_is_complete("ELU", [] { return ELU(0.5); });
  check_visit_is_complete("Softplus", [] { return Softplus(2); });
  check_visit_is_complete("SiLU", [] { return SiLU(); });
  check_visit_is_complete("Softmax", [] { return Softmax(1); });
  check_visit_is_complete("Flatten", [] { return Flatten(); });
  check_visit_is_complete("MaxPool1d", [] { return MaxPool1d({.kernel = 2}); });
  check_visit_is_complete("MaxPool2d", [] { return MaxPool2d({.kernel = 2}); });
  check_visit_is_complete("MaxPool3d", [] { return MaxPool3d({.kernel = 2}); });
  check_visit_is_complete("AvgPool1d", [] { return AvgPool1d({.kernel = 2}); });
  check_visit_is_complete("AvgPool2d", [] { return AvgPool2d({.kernel = 2}); });
  check_visit_is_complete("AvgPool3d", [] { return AvgPool3d({.kernel = 2}); });
  check_visit_is_complete("Sequential", [] {
    return Sequential(Conv2d({.in = 3, .out = 4, .kernel = 3}), BatchNorm2d({.channels = 4}),
                      Sequential(Linear({.in = 3, .out = 4}), ReLU()));
  });
}

TEST_CASE("parameters have the names, shapes and counts that users know") {
  Conv3d conv({.in = 4, .out = 8, .kernel = {1, 2, 3}, .groups = 2});
  CHECK(names(conv.named_parameters()) == std::vector<std::string>{"weight (8, 2, 1, 2, 3)", "bias (8)"});
  CHECK(conv.parameter_count() == 8 * 2 * 6 + 8);
  ConvTranspose2d up({.in = 4, .out = 6, .kernel = {2, 3}, .groups = 2});
  CHECK(names(up.named_parameters()) == std::vector<std::string>{"weight (4, 3, 2, 3)", "bias (6)"});
  LayerNorm rows({.shape = {3, 4}});
  CHECK(names(rows.named_parameters()) == std::vector<std::string>{"weight (3, 4)", "bias (3, 4)"});
  CHECK(rows.weight.values<double>() == std::vector<double>(12, 1));
  CHECK(rows.bias.values<double>() == std::vector<double>(12, 0));
  CHECK(names(RMSNorm({.shape = {4}}).named_parameters()) == std::vector<std::string>{"weight (4)"});
  GroupNorm groups({.groups = 2, .channels = 4});
  CHECK(names(groups.named_parameters()) == std::vector<std::string>{"weight (4)", "bias (4)"});
  CHECK(groups.weight.values<double>() == std::vector<double>(4, 1));
  Embedding words({.count = 10, .features = 4});
  CHECK(names(words.named_parameters()) == std::vector<std::string>{"weight (10, 4)"});
  Linear linear({.in = 5, .out = 7});
  CHECK(names(linear.named_parameters()) == std::vector<std::string>{"weight (7, 5)", "bias (7)"});
  BatchNorm2d norm({.channels = 3});
  CHECK(names(norm.named_parameters()) == std::vector<std::string>{"weight (3)", "bias (3)"});
  CHECK(names(norm.named_buffers()) == std::vector<std::string>{"running_mean (3)", "running_var (3)"});
  CHECK(norm.weight.values<double>() == std::vector<double>{1, 1, 1});
  CHECK(norm.bias.values<double>() == std::vector<double>{0, 0, 0});
  CHECK(norm.running_mean.values<double>() == std::vector<double>{0, 0, 0});
  CHECK(norm.running_variance.values<double>() == std::vector<double>{1, 1, 1});
}

TEST_CASE("convolutions and linear layers begin uniform within 1 / sqrt(fan in), bias included") {
  manual_seed(1);
  const Conv2d conv({.in = 64, .out = 512, .kernel = 3, .groups = 2});
  check_uniform(conv.weight, 1 / std::sqrt(32.0 * 9));
  check_uniform(conv.bias, 1 / std::sqrt(32.0 * 9));
  const Linear linear({.in = 100, .out = 2000});
  check_uniform(linear.weight, 0.1);
  check_uniform(linear.bias, 0.1);
  const ConvTranspose2d up({.in = 512, .out = 64, .kernel = 3, .groups = 2});
  check_uniform(up.weight, 1 / std::sqrt(32.0 * 9));
  for (const double value : up.bias.values<double>()) CHECK(std::abs(value) <= 1.0000001 / std::sqrt(32.0 * 9));
  manual_seed(1);
  CHECK(Conv2d({.in = 64, .out = 512, .kernel = 3, .groups = 2}).weight.values<float>() == conv.weight.values<float>());
}

TEST_CASE("layers compute what their op computes with their options") {
  const Tensor x = randn({2, 4, 7, 6});
  Conv2d conv({.in = 4, .out = 6, .kernel = {3, 2}, .stride = {1, 2}, .padding = 1, .dilation = {2, 1}, .groups = 2});
  const Tensor expected =
      conv2d(x, conv.weight, conv.bias, {.stride = {1, 2}, .padding = 1, .dilation = {2, 1}, .groups = 2});
  CHECK(conv(x).values<float>() == expected.values<float>());
  const PoolOptions pool{.kernel = 3, .stride = 1, .padding = 1};
  CHECK(MaxPool2d(pool)(x).values<float>() == max_pool2d(x, pool).values<float>());
  CHECK(AvgPool2d(pool)(x).values<float>() == avg_pool2d(x, pool).values<float>());
  CHECK(LeakyReLU(0.3)(x).values<float>() == leaky_relu(x, 0.3).values<float>());
  CHECK(Softmax(1)(x).values<float>() == softmax(x, 1).values<float>());
  CHECK(Flatten()(x).shape() == Shape{2, 4 * 7 * 6});
  const std::pair<Tensor, Tensor> pairs[] = {{ReLU()(x), relu(x)},
                                             {Sigmoid()(x), sigmoid(x)},
                                             {nn::Tanh()(x), tanh(x)},
                                             {GELU()(x), gelu(x)},
                                             {GELU({.by_tanh = true})(x), gelu_tanh(x)},
                                             {ELU(0.5)(x), elu(x, 0.5)},
                                             {Softplus(2)(x), softplus(x, 2)},
                                             {AdaptiveAvgPool2d({3, 5})(x), adaptive_avg_pool2d(x, {3, 5})},
                                             {SiLU()(x), silu(x)},
                                             {Hardswish()(x), hardswish(x)},
                                             {nn::Mish()(x), mish(x)},
                                             {PReLU()(x), where(greater(x, 0), x, 0.25 * x)}};
  for (const auto& [one, other] : pairs) CHECK(one.values<float>() == other.values<float>());
  CHECK(MaxPool1d({.kernel = 2})(randn({2, 3, 8})).shape() == Shape{2, 3, 4});
  CHECK(AvgPool3d({.kernel = 2})(randn({2, 3, 8, 4, 6})).shape() == Shape{2, 3, 4, 2, 3});
}

TEST_CASE("an embedding begins standard normal, and gives its rows") {
  manual_seed(1);
  Embedding words({.count = 500, .features = 40});
  const auto values = words.weight.values<double>();
  double sum = 0, squares = 0;
  for (const double value : values) sum += value, squares += value * value;
  CHECK(std::abs(sum / 20000) < 0.03);
  CHECK(squares / 20000 == doctest::Approx(1).epsilon(0.05));
  const Tensor y = words(tensor<std::int64_t>({499, 0, 0, 7}, {2, 2}));
  CHECK(y.shape() == Shape{2, 2, 40});
  CHECK(y.values<double>()[40] == values[0]);
  CHECK(y.values<double>()[0] == values[499 * 40]);
}

TEST_CASE("an embedding's padding begins with zeros and stays as it is") {
  for (const std::int64_t padding : {2, -1}) {
    Embedding words({.count = 3, .features = 2, .padding = padding});
    CHECK(select(words.weight, 0, 2).values<float>() == std::vector<float>{0, 0});
    sum(words(tensor<std::int64_t>({2, 1}, {2}))).backward();
    CHECK(words.weight.grad().values<float>() == std::vector<float>{0, 0, 1, 1, 0, 0});
  }
  CHECK_THROWS_WITH_AS(Embedding({.count = 3, .features = 2, .padding = 3}),
                       doctest::Contains("[Embedding] padding 3 is none of 3 vectors (allowed: -3 to 2)"), ShapeError);
}

TEST_CASE("transposed convolutions, norms, pooling and upsampling compute what their op computes with their options") {
  const Tensor x = randn({2, 4, 7, 6});
  ConvTranspose2d up({.in = 4,
                      .out = 6,
                      .kernel = {3, 2},
                      .stride = {1, 2},
                      .padding = 1,
                      .output_padding = {0, 1},
                      .dilation = {2, 1},
                      .groups = 2});
  const Tensor expected =
      conv_transpose2d(x, up.weight, up.bias,
                       {.stride = {1, 2}, .padding = 1, .output_padding = {0, 1}, .dilation = {2, 1}, .groups = 2});
  CHECK(up(x).values<float>() == expected.values<float>());
  CHECK(ConvTranspose1d({.in = 3, .out = 5, .kernel = 2, .stride = 2})(randn({2, 3, 4})).shape() == Shape{2, 5, 8});
  CHECK(ConvTranspose3d({.in = 3, .out = 5, .kernel = 2, .stride = 2})(randn({1, 3, 2, 3, 4})).shape() ==
        Shape{1, 5, 4, 6, 8});
  LayerNorm rows({.shape = {7, 6}, .epsilon = 0.1});
  CHECK(rows(x).values<float>() == layer_norm(x, {7, 6}, {}, {}, 0.1).values<float>());
  RMSNorm roots({.shape = {6}, .epsilon = 0.1});
  CHECK(roots(x).values<float>() == rms_norm(x, {6}, {}, 0.1).values<float>());
  GroupNorm groups({.groups = 2, .channels = 4, .epsilon = 0.1});
  CHECK(groups(x).values<float>() == group_norm(x, 2, {}, {}, 0.1).values<float>());
  groups.eval();
  CHECK(groups(x).values<float>() == group_norm(x, 2, {}, {}, 0.1).values<float>());
  CHECK(Identity()(x).array().storage() == x.array().storage());
  CHECK(Upsample({1, 3})(x).values<float>() == upsample_nearest(x, {1, 3}).values<float>());
  const InterpolateOptions smooth{.mode = ResampleMode::cubic, .align_corners = true};
  CHECK(Upsample({1, 3}, smooth)(x).values<float>() == interpolate(x, {7, 18}, smooth).values<float>());
  CHECK(GlobalAvgPool()(x).shape() == Shape{2, 4, 1, 1});
  const auto means = GlobalAvgPool()(x).values<float>(), pooled = avg_pool2d(x, {.kernel = {7, 6}}).values<float>();
  for (std::size_t i = 0; i < means.size(); ++i) CHECK(means[i] == doctest::Approx(pooled[i]).epsilon(1e-4));
  CHECK(GlobalAvgPool()(randn({2, 3, 5})).shape() == Shape{2, 3, 1});
  CHECK(GlobalAvgPool()(randn({2, 3, 5, 4, 2})).shape() == Shape{2, 3, 1, 1, 1});
}

namespace {

/// Words to vectors to images and back: allocated bytes after each of two steps, and the peak of both.
std::vector<memory::Bytes> bytes_of_training(const char* name) {
  const Device device = Device::open(name);
  const DeviceScope scope(device);
  manual_seed(4);
  Embedding words({.count = 50, .features = 32});
  Sequential net(LayerNorm({.shape = {32}}), Linear({.in = 32, .out = 48}));
  Sequential decoder(ConvTranspose1d({.in = 16, .out = 8, .kernel = 4, .stride = 2, .padding = 1}),
                     GroupNorm({.groups = 4, .channels = 8}), ReLU(), Upsample(2), GlobalAvgPool(), Flatten());
  std::vector<memory::Bytes> bytes;
  const Tensor index = randint(0, 50, {6, 16});
  for (int step = 0; step < 2; ++step) {
    const Tensor loss = binary_cross_entropy_with_logits(decoder(net(words(index))), zeros({6, 8}));
    loss.backward();
    bytes.push_back(device.allocator().allocated());
  }
  bytes.push_back(device.allocator().statistics().allocated_bytes.all.peak);
  bytes.push_back(device.allocator().statistics().reserved_bytes.all.peak);
  return bytes;
}

}  // namespace

TEST_CASE("a net of the newer layers takes the same bytes on a virtual device") {
  CHECK(bytes_of_training("cpu") == bytes_of_training("virtual:cpu"));
}

TEST_CASE("BatchNorm: running statistics by hand, and evaluation uses them") {
  BatchNorm1d norm({.channels = 2, .epsilon = 0, .momentum = 0.5});
  const Tensor x = tensor<float>({1, 10, 3, 30}, {2, 2});
  CHECK(norm(x).values<double>() == std::vector<double>{-1, -1, 1, 1});
  // Means 2 and 20, unbiased variances 2 and 200; from 0 and 1 half of the way.
  CHECK(norm.running_mean.values<double>() == std::vector<double>{1, 10});
  CHECK(norm.running_variance.values<double>() == std::vector<double>{1.5, 100.5});
  norm(x);
  CHECK(norm.running_mean.values<double>() == std::vector<double>{1.5, 15});
  CHECK(norm.running_variance.values<double>() == std::vector<double>{1.75, 150.25});
  norm.eval();
  const auto y = norm(x).values<double>();
  CHECK(y[0] == doctest::Approx((1 - 1.5) / std::sqrt(1.75)));
  CHECK(y[3] == doctest::Approx((30 - 15) / std::sqrt(150.25)));
  CHECK(norm.running_mean.values<double>() == std::vector<double>{1.5, 15});

  BatchNorm1d without({.channels = 2, .epsilon = 0, .track_running_stats = false});
  without.eval();
  CHECK(without(x).values<double>() == std::vector<double>{-1, -1, 1, 1});
  CHECK(without.named_buffers().empty());
}

TEST_CASE("Dropout does nothing in evaluation") {
  Dropout dropout(0.5);
  const Tensor x = ones({1000});
  CHECK(dropout(x).values<float>() != x.values<float>());
  dropout.eval();
  CHECK(dropout(x).array().storage() == x.array().storage());
}

TEST_CASE("options that make no layer are errors that name it") {
  const std::pair<const char*, std::function<void()>> bad[] = {
      {"[Conv2d] ", [] { Conv2d({.in = 0, .out = 4}); }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = -1}); }},
      {"[Conv1d] ", [] { Conv1d({.in = 4, .out = 4, .kernel = 0}); }},
      {"[Conv3d] ",
       [] {
         Conv3d({.in = 4, .out = 4, .kernel = {3, 3}});
       }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 4, .stride = -1}); }},
      {"[Conv3d] ",
       [] {
         Conv3d({.in = 4, .out = 4, .stride = {1, 1}});
       }},
      {"[Conv3d] ",
       [] {
         Conv3d({.in = 4, .out = 4, .padding = {1, 1}});
       }},
      {"[Conv3d] ",
       [] {
         Conv3d({.in = 4, .out = 4, .dilation = {1, 1}});
       }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 4, .padding = -1}); }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 4, .padding = "full"}); }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 4, .dilation = 0}); }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 6, .groups = 3}); }},
      {"[Conv2d] ", [] { Conv2d({.in = 4, .out = 4, .groups = 0}); }},
      {"[ConvTranspose2d] in is 0", [] { ConvTranspose2d({.out = 4}); }},
      {"[ConvTranspose2d] groups 3", [] { ConvTranspose2d({.in = 3, .out = 4, .groups = 3}); }},
      {"[ConvTranspose1d] kernel", [] { ConvTranspose1d({.in = 3, .out = 4, .kernel = 0}); }},
      {"[ConvTranspose1d] padding -1", [] { ConvTranspose1d({.in = 3, .out = 4, .padding = -1}); }},
      {"[ConvTranspose1d] padding 0 must not be negative, nor output_padding 1",
       [] { ConvTranspose1d({.in = 3, .out = 4, .output_padding = 1}); }},
      {"[ConvTranspose3d] 2 numbers given for output_padding",
       [] {
         ConvTranspose3d({.in = 3, .out = 4, .output_padding = {0, 0}});
       }},
      {"[conv_transpose2d] ",
       [] {
         ConvTranspose2d({.in = 4, .out = 4})(ones({1, 3, 5, 5}));
       }},
      {"[LayerNorm] shape ()", [] { LayerNorm({}); }},
      {"[RMSNorm] shape (0)", [] { RMSNorm({.shape = {0}}); }},
      {"[upsample] 3 numbers given for scale, expected 1 or 2",
       [] {
         Upsample({2, 2, 7}, {ResampleMode::linear})(ones({1, 2, 3, 3}));
       }},
      {"[upsample] input (2, 3)",
       [] {
         Upsample(2, {ResampleMode::linear})(ones({2, 3}));
       }},
      {"[LayerNorm] epsilon", [] { LayerNorm({.shape = {3}, .epsilon = -1}); }},
      {"[layer_norm] ",
       [] {
         LayerNorm({.shape = {3}})(ones({3, 4}));
       }},
      {"[GroupNorm] groups 3", [] { GroupNorm({.groups = 3, .channels = 4}); }},
      {"[GroupNorm] epsilon", [] { GroupNorm({.groups = 2, .channels = 4, .epsilon = std::nan("")}); }},
      {"[group_norm] input (2, 8) must have 4 channels",
       [] {
         GroupNorm({.groups = 2, .channels = 4})(ones({2, 8}));
       }},
      {"[Embedding] count 0", [] { Embedding({.features = 4}); }},
      {"[embedding] index 4", [] { Embedding({.count = 4, .features = 4})(tensor<std::int64_t>({4}, {1})); }},
      {"[global_avg_pool] input (2, 3)",
       [] {
         GlobalAvgPool()(ones({2, 3}));
       }},
      {"[Linear] ", [] { Linear({.in = 4}); }},
      {"[Linear] ", [] { Linear({.out = 4}); }},
      {"[BatchNorm] ", [] { BatchNorm2d({}); }},
      {"[BatchNorm] ", [] { BatchNorm2d({.channels = 3, .epsilon = -1}); }},
      {"[BatchNorm] ", [] { BatchNorm2d({.channels = 3, .momentum = 2}); }},
      {"[Dropout] ", [] { Dropout(-0.1); }},
      {"[Dropout] ", [] { Dropout(std::nan("")); }},
      {"[shape] ", [] { Linear({.in = std::int64_t{1} << 40, .out = std::int64_t{1} << 40}); }},
      {"[conv2d] ",
       [] {
         Conv2d({.in = 4, .out = 4})(ones({1, 3, 5, 5}));
       }},
      {"[batch_norm] ",
       [] {
         BatchNorm2d({.channels = 4})(ones({1, 4, 5}));
       }},
      {"[max_pool2d] ",
       [] {
         MaxPool2d({.kernel = 0})(ones({1, 4, 5, 5}));
       }},
      {"[linear] ", [] { Linear({.in = 4, .out = 2})(Tensor()); }},
      {"[batch_norm] ", [] { BatchNorm2d({.channels = 4})(Tensor()); }},
      {"[flatten] ", [] { Flatten()(Tensor()); }},
  };
  const auto before = Device("cpu").allocator().allocated();
  for (const auto& [begin, call] : bad) {
    std::string text = "no error";
    try {
      call();
    } catch (const Error& error) {
      text = error.what();
    }
    CAPTURE(text);
    CHECK(text.rfind(begin, 0) == 0);
  }
  CHECK(Device("cpu").allocator().allocated() == before);
}
