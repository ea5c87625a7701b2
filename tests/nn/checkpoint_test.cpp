// Checkpointed Sequentials train like plain ones, bit for bit.
#include <doctest/doctest.h>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/optim/optimizer.h>

using namespace mnemo;
using namespace mnemo::nn;

namespace {

struct Run {
  std::vector<std::vector<float>> tensors;
  memory::Bytes peak = 0;
};

Run train(const char* device_name, const std::function<void(Sequential&)>& prepare) {
  const Device device = Device::open(device_name);
  const DeviceScope scope(device);
  manual_seed(7);
  Sequential net(Conv2d({.in = 1, .out = 8, .kernel = 3, .padding = 1}), BatchNorm2d({.channels = 8}), ReLU(),
                 Dropout(0.1), Conv2d({.in = 8, .out = 8, .kernel = 3, .padding = 1}), BatchNorm2d({.channels = 8}),
                 GELU(), MaxPool2d({.kernel = 2}), Flatten(), Dropout(0.25), Linear({.in = 8 * 49, .out = 10}));
  prepare(net);
  optim::Adam adam(net.parameters(), {.lr = 5e-3});
  const Tensor images = randn({8, 1, 14, 14});
  const Tensor targets = randint(0, 10, {8});
  Run run;
  for (int step = 0; step < 3; ++step) {
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

TEST_CASE("checkpointed training gives the same losses, parameters and statistics in less memory") {
  const Run plain = train("cpu", [](Sequential&) {});
  for (const std::size_t segments : {2, 3, 5, 11}) {
    CAPTURE(segments);
    const auto prepare = [&](Sequential& net) { net.checkpoint(segments); };
    const Run run = train("cpu", prepare);
    CHECK(run.tensors == plain.tensors);
    if (segments <= 5) CHECK(run.peak < plain.peak);  // with one per layer, every layer's input is kept
    CHECK(train("virtual:cpu", prepare).peak == run.peak);
  }
  const auto nested = [](Sequential& net) {
    net.checkpoint({{{0, 8, true, {{0, 4, true, {{0, 1}, {1, 2}, {2, 3}, {3, 4}}}, {4, 5}, {5, 6}, {6, 7}, {7, 8}}},
                     {8, 9},
                     {9, 10},
                     {10, 11}}});
  };
  CHECK(train("cpu", nested).tensors == plain.tensors);
}

TEST_CASE("a plan for another number of layers is refused when it is run") {
  Sequential net(Linear({.in = 4, .out = 4}), ReLU());
  CHECK_THROWS_AS(net.checkpoint(3), Error);
  net.checkpoint(no_checkpoints(3));
  CHECK_THROWS_AS(net(ones({2, 4})), Error);
}
