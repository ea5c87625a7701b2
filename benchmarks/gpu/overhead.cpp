#include "overhead.h"

#include <algorithm>

#include <mnemo/mnemo.h>

namespace mnemo::bench {

namespace {

constexpr int kChain = 1000;  // operations that are queued before the device is waited for

/// Of each operation of a chain that `work` queues.
Overhead of_chain(const char* name, const Times& times) { return {name, times.queued / kChain, times.median / kChain}; }

Tensor chain(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < kChain; ++i) y = relu(y);
  return y;
}

/// Convolutions of 16 and 32 channels, each with ReLU and a pooling, and a linear layer: images (n, 1, 28, 28).
nn::Sequential small_net() {
  return nn::Sequential(nn::Conv2d({.in = 1, .out = 16, .kernel = 3}), nn::ReLU(), nn::MaxPool2d({.kernel = 2}),
                        nn::Conv2d({.in = 16, .out = 32, .kernel = 3}), nn::ReLU(), nn::MaxPool2d({.kernel = 2}),
                        nn::Flatten(), nn::Linear({.in = 32 * 25, .out = 10}));
}

}  // namespace

std::vector<CacheHit> cache_hits(const Device& device, const ClockOptions& options) {
  constexpr int kCalls = 1000;
  std::vector<CacheHit> hits;
  memory::CachingAllocator& allocator = device.allocator();
  for (const memory::Bytes bytes : {memory::Bytes{512}, memory::Bytes{1} << 16, memory::Bytes{2} << 20}) {
    allocator.free(allocator.malloc(bytes));
    const Times times = measure(device, options, [&] {
      for (int i = 0; i < kCalls; ++i) allocator.free(allocator.malloc(bytes));
    });
    hits.push_back({bytes, times.median / kCalls});
  }
  return hits;
}

std::vector<Overhead> overheads(const Device& device, const ClockOptions& options) {
  const Tensor x = ones({256}, {.device = device});
  const Tensor leaf = ones({256}, {.device = device, .requires_grad = true});
  // Each repeat is one chain or more; a graph of so many operations is kept only while its chain lives.
  ClockOptions few = options;
  few.most_runs = std::max(1, options.most_runs / kChain);
  std::vector<Overhead> list;
  list.push_back(of_chain("relu of 1 KiB, not recorded", measure(device, few, [&] { chain(x); })));
  list.push_back(of_chain("relu of 1 KiB, recorded for backward", measure(device, few, [&] { chain(leaf); })));
  const Tensor gradient = ones({256}, {.device = device});
  const Tensor result = chain(leaf);
  list.push_back(of_chain("gradient of relu of 1 KiB", measure(device, few, [&] { result.backward(gradient, true); })));
  return list;
}

std::vector<StepTimes> step_times(const Device& device, const ClockOptions& options) {
  std::vector<StepTimes> list;
  for (const std::int64_t batch : {1, 64}) {
    manual_seed(1);
    nn::Sequential net = small_net();
    optim::Adam optimizer(net.parameters());
    const Tensor images = randn({batch, 1, 28, 28}, {.device = device});
    const Tensor targets = randint(0, 10, {batch}, {.dtype = DType::int64, .device = device});
    const StepGraph::Step step = [&](std::span<const Tensor> in) {
      optimizer.zero_grad();
      Tensor loss = cross_entropy(net(in[0]), in[1]);
      loss.backward();
      optimizer.step();
      return loss;
    };
    StepTimes times{"conv16, conv32, linear; Adam", batch, {}, {}, false};
    const Tensor inputs[] = {images, targets};
    times.eager = measure(device, options, [&] { step(inputs); });
    StepGraph graph(device);
    times.graph = measure(device, options, [&] { graph.run(inputs, step); });
    times.is_recorded = graph.recorded() > 0;
    list.push_back(times);
  }
  return list;
}

}  // namespace mnemo::bench
