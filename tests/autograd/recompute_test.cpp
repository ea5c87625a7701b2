// recompute: the bits of the plain operations, and bytes on paper.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/recompute.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/refusal.h"

using namespace mnemo;

namespace {

using Values = std::vector<std::vector<double>>;

memory::Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
}

/// A residual block of normalization, three products of its result, dropout, gelu.
struct Block {
  bool again = false, region = false, half = false;
  int runs = 0;

  Tensor norm(const Tensor& x, const Tensor& w, const Tensor& b) {
    const auto f = [this](const Tensor& y, const Tensor& gain, const Tensor& shift) {
      ++runs;
      return layer_norm(y, {16}, gain, shift);
    };
    return again ? recompute(f, x, w, b) : f(x, w, b);
  }
  Tensor activate(const Tensor& x) {
    const auto f = [](const Tensor& y) { return gelu(dropout(y, 0.3)); };
    return again ? recompute(f, x) : f(x);
  }

  Values run() {
    manual_seed(7);
    const auto leaf = [](const Shape& shape) { return randn(shape, {.requires_grad = true}); };
    const Tensor x = leaf({6, 16}), gain = leaf({16}), shift = leaf({16}), w1 = leaf({16, 16}), w2 = leaf({16, 16}),
                 w3 = leaf({16, 16}), out = leaf({16, 16});
    const AutocastScope scope({.enabled = half, .dtype = DType::bfloat16});
    const auto block = [&](const Tensor& input) {
      const Tensor y = norm(input, gain, shift);
      return input + linear(activate(linear(y, w1) + linear(y, w2) * tanh(linear(y, w3))), out);
    };
    Tensor y = region ? checkpoint(block, x) : block(x);
    y = block(y);
    mean(pow(y, 2)).backward();
    Values result{y.values<double>()};
    for (const Tensor& tensor : {x, gain, shift, w1, w2, w3, out}) result.push_back(tensor.grad().values<double>());
    return result;
  }
};

}  // namespace

TEST_CASE("recompute: values and gradients are those of the plain operations, bit for bit") {
  for (const bool region : {false, true}) {
    for (const bool half : {false, true}) {
      Block plain{.region = region, .half = half}, lean{.again = true, .region = region, .half = half};
      CHECK(lean.run() == plain.run());
      // Each of two normalizations once more for three readers, and the first one of a region for that. Under autocast
      // nobody keeps their results, but products half copies of them.
      CHECK(plain.runs == (region ? 3 : 2));
      CHECK(lean.runs == plain.runs + (half ? 0 : 2));
    }
  }
}

TEST_CASE("recompute: what is kept is the input, and the result is there from its first reader to its last one") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const memory::Bytes bytes = 512 * 128 * 4;
  const Tensor w = randn({128, 128}, {.requires_grad = true});
  for (const bool again : {false, true}) {
    CAPTURE(again);
    const Tensor x = randn({512, 128}, {.requires_grad = true}) * 1.0;
    const auto f = [](const Tensor& y) { return gelu(y); };
    Tensor y = again ? recompute(f, x) : f(x);
    const Tensor z = linear(y, w) + linear(y, w);
    y = {};
    CHECK(saved(device) == (again ? 1 : 2) * bytes);
    device.allocator().reset_peak();
    const memory::Bytes before = device.allocator().allocated();
    z.backward(z);
    CHECK(saved(device) == 0);
    // At most y again, its gradient and a part of it beside the two gradients of w.
    if (again) CHECK(device.allocator().statistics().allocated_bytes.all.peak <= before + 4 * bytes);
  }
}

TEST_CASE("recompute: a change of an input in place is found out; so is none of the result") {
  Tensor gain = ones({4});
  const Tensor w = randn({4, 4}, {.requires_grad = true}), x = randn({3, 4}, {.requires_grad = true});
  const auto f = [](const Tensor& y, const Tensor& g) { return gelu(y * g); };
  const Tensor y = matmul(recompute(f, x, gain), w);
  add_(gain, 1.0);
  const std::string text = refusal([&] { sum(y).backward(); });
  CHECK(mentions(text, "changed in place"));
  CHECK(mentions(text, "[recompute] a value float32 (4)"));  // not the product's, which reads what it is for

  Tensor z = recompute([](const Tensor& v) { return gelu(v); }, x * 1.0);
  mul_(z, 2.0);  // before anybody keeps it: then what is kept is what it is now
  const Tensor result = matmul(z, w);
  sum(result).backward();
  const Tensor plain = gelu(x.detach()) * 2.0, expected = matmul(transpose(plain, 0, 1), ones({3, 4}));
  CHECK(w.grad().values<double>() == expected.values<double>());
}

TEST_CASE("recompute: twice through a kept graph, and nothing where nothing is recorded") {
  const Tensor x = randn({5, 8}, {.requires_grad = true}), w = randn({8, 8}, {.requires_grad = true});
  int runs = 0;
  const auto f = [&runs](const Tensor& y) {
    ++runs;
    return silu(y);
  };
  const Tensor y = sum(matmul(recompute(f, x), w));
  y.backward(true);
  const auto once = w.grad().values<double>();
  y.backward();
  CHECK(runs == 2);  // what is read once stays with a graph that is kept
  auto twice = w.grad().values<double>();
  for (double& value : twice) value /= 2;
  CHECK(twice == once);
  const NoGradScope no_grad;
  CHECK(recompute(f, x).values<double>() == silu(x).values<double>());
}

TEST_CASE("recompute: an identity's result is its input, and is kept as such") {
  const Tensor x = randn({5, 8}, {.requires_grad = true}) * 1.0, w = randn({8, 8}, {.requires_grad = true});
  const Tensor y = recompute([](const Tensor& v) { return dropout(v, 0.5, false); }, x);
  CHECK(y.array().storage() == x.array().storage());
  sum(matmul(y, w)).backward();
  CHECK(w.grad().defined());
}

// It ran again on what it had left behind.
TEST_CASE("recompute: a function that changes its input in place has the gradients of the plain one") {
  const auto f = [](const Tensor& x) {
    Tensor y = x;
    return gelu(mul_(y, 2.0));
  };
  Values found[2];
  for (const bool again : {false, true}) {
    manual_seed(3);
    const Tensor x = randn({5, 8}, {.requires_grad = true}), w = randn({8, 8}, {.requires_grad = true});
    const Tensor h = x * 1.0;
    sum(matmul(again ? recompute(f, h) : f(h), w)).backward();
    found[again ? 1 : 0] = {x.grad().values<double>(), w.grad().values<double>()};
  }
  CHECK(found[0] == found[1]);
}

// Each batch was counted twice.
TEST_CASE("recompute: batch normalization counts a batch once") {
  const Tensor x = tensor<double>({1, 3, 5, 7}, {4, 1}, {}, true), w = tensor<double>({1}, {1, 1}, {}, true);
  const Tensor mean = zeros({1}, {.dtype = DType::float64}), variance = ones({1}, {.dtype = DType::float64});
  const auto f = [&](const Tensor& y) {
    return batch_norm(y, {}, {}, mean, variance, {.training = true, .momentum = 0.5}) * 2.0;
  };
  sum(matmul(recompute(f, x), w)).backward();
  CHECK(mean.item() == 2);  // half of the batch's 4
}

// It was there twice in backward.
TEST_CASE("recompute: a result that its last operation keeps is not computed again") {
  int runs = 0;
  const auto f = [&runs](const Tensor& x) {
    ++runs;
    return sigmoid(x * 2.0);
  };
  const Tensor x = randn({5, 8}, {.requires_grad = true}), w = randn({8, 8}, {.requires_grad = true});
  sum(matmul(recompute(f, x), w)).backward();
  CHECK(runs == 1);
  CHECK(w.grad().defined());
}
