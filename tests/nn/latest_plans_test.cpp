// Convolution layers find the plans of the last step without asking the device; what changes a plan is noticed, and
// bytes and bits are those of the functions, which ask each time.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/core/random.h>
#include <mnemo/core/workspace_limits.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/layers.h>

#include "core/counting_decisions.h"

using namespace mnemo;
using namespace mnemo::nn;

namespace {

struct Net : Module<Net> {
  Conv2d first{{.in = 2, .out = 4, .kernel = 3, .padding = 1}};
  Conv2d second{{.in = 4, .out = 3, .kernel = 3, .stride = 2}};

  Tensor forward(const Tensor& x) { return second(relu(first(x))); }
  void visit(Visitor& v) { v.child("first", first), v.child("second", second); }
};

void step(Net& net, const Tensor& x) { sum(net(x)).backward(); }

/// Forward of both, weight gradients of both, data gradient of the second: nobody wants the input's.
constexpr int kPasses = 5;

std::vector<std::vector<float>> gradients(Net& net) {
  std::vector<std::vector<float>> values;
  for (Tensor& parameter : net.parameters()) {
    values.push_back(parameter.grad().values<float>());
    parameter.zero_grad();
  }
  return values;
}

}  // namespace

TEST_CASE("latest plans: a layer asks the device in its first step alone") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const DeviceScope scope(device_with(decisions));
  Net net;
  const Tensor x = randn({2, 2, 8, 8});
  step(net, x);
  CHECK(decisions->asked() == kPasses);
  for (int i = 0; i < 3; ++i) step(net, x);
  CHECK(decisions->asked() == 0);

  SUBCASE("in place too") {
    net.work_in_place();
    sum(net.second.with_relu(net.first.with_relu(x))).backward();
    CHECK(decisions->asked() == 0);
  }
  SUBCASE("a recomputed region too") {
    sum(checkpoint([&](const Tensor& y) { return net(y); }, x)).backward();
    CHECK(decisions->asked() == 0);
  }
  SUBCASE("without gradients too") {
    no_grad([&] { net(x); });
    CHECK(decisions->asked() == 0);
  }
  SUBCASE("functions ask each time") {
    conv2d(x, net.first.weight, net.first.bias, {.padding = 1});
    conv2d(x, net.first.weight, net.first.bias, {.padding = 1});
    CHECK(decisions->asked() == 2);
  }
  SUBCASE("a copy of a layer begins without, and what it does is not seen by the other") {
    Conv2d copy = net.first;
    copy(randn({5, 2, 8, 8}));
    CHECK(decisions->asked() == 1);
    net.first(x);
    CHECK(decisions->asked() == 0);
    copy = net.first;
    copy(randn({5, 2, 8, 8}));
    CHECK(decisions->asked() == 1);
  }
  SUBCASE("a layer that was moved still knows") {
    Conv2d moved = std::move(net.first);
    moved(x);
    CHECK(decisions->asked() == 0);
  }
}

TEST_CASE("latest plans: what changes a plan is noticed, forward and backward") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const Device device = device_with(decisions);
  const DeviceScope scope(device);
  Net net;
  const Tensor x = randn({2, 2, 8, 8});
  const ConvPolicyScope gemm({.choice = ConvPolicy::Choice::gemm});
  step(net, x);
  decisions->asked();

  // Whatever was remembered, the plans are those of the device; and what is new is remembered too.
  const auto check_step = [&](const Tensor& input, int asked) {
    for (const int expected : {asked, 0}) {
      ConvTrace trace;
      step(net, input);
      CHECK(decisions->asked() == expected);
      CHECK(trace.entries().size() == kPasses);
      for (const ConvTrace::Entry& entry : trace.entries()) {
        ConvPolicy policy = conv_policy();
        if (const auto limit = workspace_limits().of(entry.module)) policy.workspace_limit = *limit;
        CHECK(entry.plan.workspace == own_plan(entry.problem, policy).workspace);
      }
    }
  };
  SUBCASE("the shape") { check_step(randn({3, 2, 8, 8}), kPasses); }
  SUBCASE("the policy") {
    const ConvPolicyScope direct({.choice = ConvPolicy::Choice::direct});
    check_step(x, kPasses);
  }
  SUBCASE("the policy's limit") {
    const ConvPolicyScope limited({.choice = ConvPolicy::Choice::gemm, .workspace_limit = 0});
    check_step(x, kPasses);
  }
  SUBCASE("TF32") {
    const ConvPolicyScope tf32({.choice = ConvPolicy::Choice::gemm, .allow_tf32 = true});
    check_step(x, kPasses);
  }
  SUBCASE("a layer's own limit") {
    net.parameters();  // names the modules
    const WorkspaceLimitsScope limited(parse_workspace_limits("first=0"));
    check_step(x, 2);
  }
  SUBCASE("the dtype") {
    net.to(DType::float64);
    check_step(Tensor(x.array().to(DType::float64)), kPasses);
  }
  SUBCASE("the device") {
    const auto others = std::make_shared<const CountingDecisions>();
    const DeviceScope there(device_with(others));
    net.to(Device());
    check_step(randn({2, 2, 8, 8}), 0);
    CHECK(others->asked() == kPasses);
  }
}

TEST_CASE("latest plans: gradients find them where the layer is gone") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const DeviceScope scope(device_with(decisions));
  const Tensor x = randn({2, 2, 8, 8}, {.requires_grad = true});
  const auto loss = [&] {
    Conv2d layer({.in = 2, .out = 4, .kernel = 3});
    sum(layer(x)).backward();
    decisions->asked();
    return sum(layer(x));
  };
  const Tensor last = loss();
  last.backward();
  CHECK(decisions->asked() == 0);
}

TEST_CASE("latest plans: layers allocate and compute what the functions do") {
  for (const char* name : {"cpu", "virtual:cpu", "virtual:h200"}) {
    CAPTURE(name);
    struct Seen {
      std::vector<std::pair<std::uint64_t, memory::Bytes>> blocks;
      std::vector<std::vector<float>> gradients;
    };
    const auto run = [&](bool by_layers) {
      Seen seen;
      const Device device = Device::open(name);
      const DeviceScope scope(device);
      manual_seed(3);
      Net net;
      const Tensor x = randn({4, 2, 12, 12}), larger = randn({6, 2, 12, 12});
      const auto subscription = device.allocator().subscribe([&](const memory::Event& event) {
        if (event.kind == memory::EventKind::alloc) seen.blocks.emplace_back(event.position, event.size);
      });
      const auto forward = [&](const Tensor& input) {
        if (by_layers) return net.forward(input);
        return conv2d(relu(conv2d(input, net.first.weight, net.first.bias, {.padding = 1})), net.second.weight,
                      net.second.bias, {.stride = 2});
      };
      for (const Tensor& input : {x, x, larger, x}) sum(forward(input)).backward();
      if (!device.is_virtual()) seen.gradients = gradients(net);
      return seen;
    };
    const Seen layers = run(true), functions = run(false);
    CHECK(layers.blocks == functions.blocks);
    CHECK(layers.gradients == functions.gradients);
  }
}

TEST_CASE("latest plans: threads may share a layer") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const Device device = device_with(decisions);
  const DeviceScope scope(device);
  const Conv2d layer({.in = 2, .out = 3, .kernel = 3});
  const Tensor inputs[] = {randn({1, 2, 6, 6}), randn({2, 2, 6, 6}), randn({1, 2, 7, 5})};
  std::vector<std::vector<float>> expected;
  for (const Tensor& x : inputs) expected.push_back(conv2d(x, layer.weight, layer.bias).values<float>());
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const DeviceScope here(device);
      const NoGradScope no_recording;
      for (std::size_t i = 0; i < 300; ++i) {
        const std::size_t which = (i / 20 + t) % 3;
        if (layer.forward(inputs[which]).values<float>() != expected[which]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
