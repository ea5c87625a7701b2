// Models that work in place train like plain ones, bit for bit, in fewer bytes.
#include <doctest/doctest.h>

#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/inverted_norm.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/optim/optimizer.h>

#include "nn/visit_completeness.h"

using namespace mnemo;
using namespace mnemo::nn;
using memory::Bytes;
using memory::Category;

namespace {

/// A normalization with its relu, one with what is added before its relu, which is normalized too, a relu before a
/// pooling, and one whose output a linear layer keeps.
struct Net : Module<Net> {
  Conv2d conv1{{.in = 1, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  BatchNorm2d norm{{.channels = 8}}, join{{.channels = 8}}, around{{.channels = 8}};
  Conv2d conv2{{.in = 8, .out = 8, .kernel = 3, .padding = 1}};
  ReLU pooled{{.pooled = true}};
  MaxPool2d pool{{.kernel = 2}};
  Linear fc1{{.in = 8 * 49, .out = 32}};
  ReLU relu;
  Linear fc2{{.in = 32, .out = 10}};

  Tensor forward(const Tensor& x) {
    const Tensor first = norm.with_relu(conv1(x));
    const Tensor y = join.with_add_relu(conv2(first), around(conv2(first)));
    const Tensor z = pool(pooled(add_relu(conv2(y), y, in_place) - 0.1));
    return fc2(relu(fc1(flatten(z))));
  }
  void visit(Visitor& v) {
    v.child("conv1", conv1), v.child("norm", norm), v.child("join", join), v.child("around", around);
    v.child("conv2", conv2), v.child("pooled", pooled);
    v.child("pool", pool), v.child("fc1", fc1), v.child("relu", relu), v.child("fc2", fc2);
  }
};

struct Run {
  std::vector<std::vector<float>> tensors;
  Bytes peak = 0;
};

Run train(const char* name, bool in_place) {
  const Device device = Device::open(name);
  const DeviceScope scope(device);
  manual_seed(7);
  Net net;
  net.work_in_place(in_place);
  optim::Adam adam(net.parameters(), {.lr = 5e-3});
  const Tensor images = randn({8, 1, 14, 14}), targets = randint(0, 10, {8});
  Run run;
  for (int step = 0; step < 4; ++step) {
    net.train(step != 2);  // a step with the running statistics too
    adam.zero_grad();
    device.allocator().reset_peak();
    const Tensor loss = cross_entropy(net(images), targets);
    run.tensors.push_back(loss.values<float>());
    loss.backward();
    run.peak = device.allocator().peak().allocated;
    adam.step();
  }
  for (const auto& tensors : {net.named_parameters(), net.named_buffers()}) {
    for (const NamedTensor& named : tensors) run.tensors.push_back(named.tensor.values<float>());
  }
  return run;
}

}  // namespace

TEST_CASE("work_in_place: the same losses, parameters and statistics, and a lower peak; virtual:cpu counts the same") {
  const Run plain = train("cpu", false), lean = train("cpu", true);
  CHECK(plain.tensors == lean.tensors);
  CHECK(lean.peak < plain.peak);
  CHECK(train("virtual:cpu", true).peak == lean.peak);
  CHECK(train("virtual:cpu", false).peak == plain.peak);
}

TEST_CASE("a relu in place needs no memory of its own, and leaves alone what a gradient needs") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  Conv2d conv({.in = 16, .out = 16, .kernel = 1});
  ReLU relu({.in_place = true});
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  const Tensor x = randn({8, 16, 16, 16});
  constexpr Bytes activation = 8 * 16 * 16 * 16 * 4;
  const Bytes before = device.allocator().allocated();
  device.allocator().reset_peak();
  { const Tensor y = relu(conv(x)); }
  CHECK(device.allocator().peak().allocated == before + activation);
  device.allocator().reset_peak();
  { const Tensor y = ReLU()(conv(x)); }
  CHECK(device.allocator().peak().allocated == before + 2 * activation);

  const DeviceScope real{Device("cpu")};
  const Tensor leaf = tensor(std::vector<float>{-1, 2}, {2}, {}, true), input = tensor(std::vector<float>{-1, 2}, {2});
  (void)relu(leaf), (void)relu(input);
  CHECK(leaf.values<float>() == std::vector<float>{-1, 2});  // a parameter, and data, stay
  CHECK(input.values<float>() == std::vector<float>{-1, 2});
  const Tensor h = leaf * 1.0, g = gelu(h);  // keeps h
  CHECK(relu(h).values<float>() == std::vector<float>{0, 2});
  CHECK(h.values<float>() == std::vector<float>{-1, 2});
  CHECK_NOTHROW(sum(g).backward());
}

// A result that is given again in backward is not held in memory for it: the relu took it for nobody's.
TEST_CASE("a relu in place leaves alone a normalization that others keep") {
  struct Branches : Module<Branches> {
    BatchNorm2d norm{{.channels = 3}};
    Conv2d conv1{{.in = 3, .out = 3, .kernel = 1}}, conv2{{.in = 3, .out = 3, .kernel = 1}};
    ReLU relu;
    Tensor forward(const Tensor& x) {
      const Tensor y = norm(x), a = conv1(y), b = relu(y);
      return a + b + conv2(y);
    }
    void visit(Visitor& v) {
      v.child("norm", norm), v.child("conv1", conv1), v.child("conv2", conv2), v.child("relu", relu);
    }
  };
  std::vector<float> values[2];
  for (const bool in_place : {false, true}) {
    const DeviceScope scope{Device("cpu")};
    manual_seed(4);
    Branches net;
    net.work_in_place(in_place);
    const Tensor loss = sum(net(randn({2, 3, 4, 4})));
    CHECK_NOTHROW(loss.backward());
    values[in_place ? 1 : 0] = net.conv1.weight.grad().values<float>();
  }
  CHECK(values[0] == values[1]);
}

TEST_CASE("BatchNormLeakyReLU trains as its two layers do, and keeps one activation less per block") {
  check_visit_is_complete("BatchNormLeakyReLU", [] { return BatchNormLeakyReLU<2>({.channels = 4}); });
  struct Result {
    double loss = 0;
    std::vector<float> mean;
    Bytes saved = 0;
  };
  const auto train_one = [](const char* name, bool inverted) {
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
    manual_seed(2);
    const auto conv = [](std::int64_t in) { return Conv2d({.in = in, .out = 16, .kernel = 3, .padding = 1}); };
    Sequential net;
    for (const std::int64_t in : {1, 16}) {
      net.add(conv(in));
      if (inverted)
        net.add(BatchNormLeakyReLU<2>({.channels = 16}, 0.1));
      else
        net.add(Sequential(BatchNorm2d({.channels = 16}), LeakyReLU(0.1)));
    }
    net.add(conv(16)).add(AvgPool2d({.kernel = 16})).add(Flatten());
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    const Tensor images = randn({4, 1, 16, 16}), targets = randint(0, 16, {4});
    Result result;
    for (int step = 0; step < 5; ++step) {
      sgd.zero_grad();
      const Tensor y = net(images);
      result.saved = device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
      const Tensor loss = cross_entropy(y, targets);
      loss.backward();
      sgd.step();
      result.loss = loss.item();
    }
    result.mean = net.named_buffers()[0].tensor.values<float>();
    return result;
  };
  const Result plain = train_one("cpu", false), inverted = train_one("cpu", true);
  CHECK(inverted.loss == doctest::Approx(plain.loss).epsilon(1e-4));
  REQUIRE(plain.mean.size() == inverted.mean.size());
  for (std::size_t i = 0; i < plain.mean.size(); ++i)
    CHECK(inverted.mean[i] == doctest::Approx(plain.mean[i]).epsilon(1e-3));
  constexpr Bytes activation = 4 * 16 * 16 * 16 * 4;
  // Two blocks: the input of the normalization, that of leaky relu and its result; or the result. And two numbers per
  // channel, or one, with the weights taken.
  CHECK(plain.saved == 2 * (3 * activation + 2 * 512));
  CHECK(inverted.saved == 2 * (activation + 2 * 512));
  CHECK(train_one("virtual:cpu", false).saved == plain.saved);
  CHECK(train_one("virtual:cpu", true).saved == inverted.saved);
}
