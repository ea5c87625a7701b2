// A seeded training run: the same bits for any number of threads and on every repeat, a loss that falls, a ledger
// without leaks.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include <mnemo/core/random.h>
#include <mnemo/core/threads.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/optim/optimizer.h>

using namespace mnemo;
using namespace mnemo::nn;

namespace {

Sequential make_net() {
  return Sequential(Conv2d({.in = 1, .out = 8, .kernel = 3, .padding = 1}), BatchNorm2d({.channels = 8}), ReLU(),
                    MaxPool2d({.kernel = 2}), Conv2d({.in = 8, .out = 16, .kernel = 3}), BatchNorm2d({.channels = 16}),
                    GELU(), Flatten(), Dropout(0.25), Linear({.in = 16 * 5 * 5, .out = 10}));
}

struct Result {
  std::vector<double> losses;
  std::vector<std::vector<float>> tensors;  // parameters and buffers after the run
  std::vector<std::int64_t> bytes;          // allocated and reserved, now and at the peak, after every step
};

Result train(const char* device_name, int steps) {
  const Device device = Device::open(device_name);
  const DeviceScope scope(device);
  manual_seed(7);
  Sequential net = make_net();
  optim::Adam adam(net.parameters(), {.lr = 5e-3});
  // Ten images, each with its class: learnable by heart.
  const Tensor images = randn({40, 1, 14, 14});
  std::vector<std::int64_t> classes(40);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int64_t>(i % 10);
  const Tensor targets = tensor<std::int64_t>(classes, {40}, device);
  Result result;
  for (int step = 0; step < steps; ++step) {
    adam.zero_grad();
    const Tensor loss = cross_entropy(net(images), targets, {.label_smoothing = 0.05});
    result.losses.push_back(loss.item());
    loss.backward();
    adam.step();
    const memory::Statistics statistics = device.allocator().statistics();
    for (const auto& stat : {statistics.allocated_bytes.all, statistics.reserved_bytes.all}) {
      result.bytes.insert(result.bytes.end(), {stat.current, stat.peak});
    }
    CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::temporary)] == 0);
    CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)] == 0);
  }
  for (const auto& tensors : {net.named_parameters(), net.named_buffers()}) {
    for (const NamedTensor& named : tensors) result.tensors.push_back(named.tensor.values<float>());
  }
  return result;
}

bool same_bits(const Result& a, const Result& b) {
  if (a.losses != b.losses || a.tensors.size() != b.tensors.size()) return false;
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    if (std::memcmp(a.tensors[i].data(), b.tensors[i].data(), a.tensors[i].size() * sizeof(float)) != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a training run learns, and gives the same bits on 1, 2 and 3 threads and again") {
  const int before = thread_count();
  set_thread_count(1);
  const Result one = train("cpu", 30);
  CHECK(one.losses.front() > 2);
  CHECK(one.losses.back() < 0.75);
  CHECK(same_bits(one, train("cpu", 30)));
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    CHECK(same_bits(one, train("cpu", 30)));
  }
  set_thread_count(before);
}

TEST_CASE(
    "a training run takes the same bytes after every step on the virtual device, and no more from the second step on") {
  const Result real = train("cpu", 6), imitated = train("virtual:cpu", 6);
  CHECK(real.bytes == imitated.bytes);
  CHECK(std::isnan(imitated.losses[0]));
  for (std::size_t step = 2; step < 6; ++step) {
    for (std::size_t i = 0; i < 4; ++i) CHECK(real.bytes[4 * step + i] == real.bytes[4 + i]);
  }
}
