// What one operation costs besides its arithmetic: recorded and not, forward and backward, on the CPU and shape-only.
#include <benchmark/benchmark.h>

#include <mnemo/mnemo.h>

namespace {

using namespace mnemo;

/// An addition of two small tensors; the argument says whether it is recorded.
void add_small(benchmark::State& state, const char* device) {
  const DeviceScope scope(Device::open(device));
  const bool recorded = state.range(0) != 0;
  const Tensor a = randn({2, 2}, {.requires_grad = recorded});
  for (auto _ : state) benchmark::DoNotOptimize(a + a);
}
BENCHMARK_CAPTURE(add_small, cpu, "cpu")->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(add_small, virtual_cpu, "virtual:cpu")->Arg(0)->Arg(1);

/// A chain of 64 convolution + ReLU pairs, forward and backward, with its parameters' gradients dropped: time per
/// operation, where each pair counts four (two forward, two backward).
void conv_chain(benchmark::State& state, const char* device) {
  const DeviceScope scope(Device::open(device));
  constexpr int pairs = 64;
  nn::Sequential net;
  for (int i = 0; i < pairs; ++i) net.add(nn::Conv2d({.in = 64, .out = 64, .kernel = 3, .padding = 1})).add(nn::ReLU());
  std::vector<Tensor> parameters = net.parameters();
  const Tensor x = empty({8, 64, 56, 56});
  for (auto _ : state) {
    sum(net(x)).backward();
    for (Tensor& parameter : parameters) parameter.zero_grad();
  }
  state.counters["per_op"] = benchmark::Counter(
      static_cast<double>(4 * pairs), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(conv_chain, virtual_cpu, "virtual:cpu");
BENCHMARK_CAPTURE(conv_chain, virtual_h200, "virtual:h200");

/// The same with every event handed to a listener.
void conv_chain_recorded(benchmark::State& state) {
  const Device device = Device::open("virtual:h200");
  std::int64_t events = 0;
  const auto subscription = device.allocator().subscribe([&](const memory::Event&) { ++events; });
  const DeviceScope scope(device);
  nn::Sequential net;
  for (int i = 0; i < 64; ++i) net.add(nn::Conv2d({.in = 64, .out = 64, .kernel = 3, .padding = 1})).add(nn::ReLU());
  std::vector<Tensor> parameters = net.parameters();
  const Tensor x = empty({8, 64, 56, 56});
  for (auto _ : state) {
    sum(net(x)).backward();
    for (Tensor& parameter : parameters) parameter.zero_grad();
  }
  state.counters["per_op"] =
      benchmark::Counter(256, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["events"] = static_cast<double>(events) / static_cast<double>(state.iterations());
}
BENCHMARK(conv_chain_recorded);

/// One training step of a small convolutional net, batch size as argument.
void train_step(benchmark::State& state, const char* device) {
  const DeviceScope scope(Device::open(device));
  nn::Sequential net(nn::Conv2d({.in = 1, .out = 16, .kernel = 3}), nn::ReLU(), nn::MaxPool2d({.kernel = 2}),
                     nn::Conv2d({.in = 16, .out = 32, .kernel = 3}), nn::ReLU(), nn::MaxPool2d({.kernel = 2}),
                     nn::Flatten(), nn::Linear({.in = 32 * 25, .out = 10}));
  optim::Adam optimizer(net.parameters());
  const Tensor x = randn({state.range(0), 1, 28, 28});
  const Tensor targets = randint(0, 10, {state.range(0)});
  for (auto _ : state) {
    const Tensor loss = cross_entropy(net(x), targets);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
}
BENCHMARK_CAPTURE(train_step, cpu, "cpu")->Arg(1)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(train_step, virtual_cpu, "virtual:cpu")->Arg(64)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
