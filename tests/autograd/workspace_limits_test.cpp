// Limits of workspaces in backward and in recomputations, and the search for the layers that need them.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/fit_plan.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/core/workspace_limits.h>
#include <mnemo/memory/tag.h>

using namespace mnemo;
using memory::Bytes;

namespace {

constexpr Bytes kKiB = 1024;

/// A chain of convolutions, each in a module of its own.
struct Chain {
  struct Layer {
    const char* path;
    std::int64_t in, out;
  };
  std::vector<Layer> layers;
  std::vector<Tensor> weights;

  explicit Chain(std::vector<Layer> of) : layers(std::move(of)) {
    for (const Layer& layer : layers)
      weights.push_back(randn({layer.out, layer.in, 3, 3}, {.device = Device(), .requires_grad = true}));
  }
  Tensor forward(Tensor x, std::size_t from, std::size_t to) const {
    for (std::size_t i = from; i < to; ++i) {
      const memory::ModuleScope module(layers[i].path);
      x = conv2d(x, weights[i], {}, {.padding = 1});
    }
    return x;
  }
};

/// The largest workspace of each module.
std::map<std::string, Bytes> workspaces(const ConvTrace& trace) {
  std::map<std::string, Bytes> most;
  for (const ConvTrace::Entry& entry : trace.entries()) {
    Bytes& bytes = most[entry.module];
    bytes = std::max(bytes, entry.plan.workspace);
  }
  return most;
}

}  // namespace

TEST_CASE("workspace limits hold in forward, backward and recomputation") {
  const Bytes matrix = 4 * 9 * 16 * 16 * 4;
  for (const char* name : {"virtual:cpu", "virtual:a100-40gb", "cpu"}) {
    CAPTURE(name);
    const DeviceScope on_device(Device::open(name, {}));
    const ConvPolicyScope own({.choice = ConvPolicy::Choice::gemm});
    const Chain net({{"a.0", 4, 4}, {"a.1", 4, 4}, {"b", 4, 4}});
    const Tensor x = randn({2, 4, 16, 16}, {.device = Device(), .requires_grad = true});
    const std::map<std::string, Bytes> expected{{"a.0", matrix}, {"a.1", 0}, {"b", 0}};
    const WorkspaceLimits limits({{"a.1", 0}, {"b", matrix - 1}});
    {
      const WorkspaceLimitsScope limited(limits);
      ConvTrace trace;
      const Tensor loss = sum(net.forward(x, 0, 3));
      CHECK(workspaces(trace) == expected);
      CHECK(trace.entries().size() == 3);
      trace.clear();
      loss.backward();
      CHECK(workspaces(trace) == expected);
      CHECK(trace.entries().size() == 6);
    }
    // The limits of the first time, although they are over when backward comes; what is not recomputed has none then.
    Tensor loss;
    {
      const WorkspaceLimitsScope limited(limits);
      loss = sum(checkpoint([&](const Tensor& in) { return net.forward(in * in, 0, 3) * in; }, x));
    }
    const ConvTrace trace;
    loss.backward();
    std::size_t recomputed = 0;
    for (const ConvTrace::Entry& entry : trace.entries()) {
      const bool forward = entry.pass == ConvPass::forward;
      CHECK_MESSAGE(entry.plan.workspace == (forward ? expected.at(entry.module) : matrix), entry.module);
      recomputed += forward ? 1 : 0;
    }
    CHECK(recomputed == 3);
    CHECK(trace.entries().size() == 9);
  }
}

TEST_CASE("fitting limits as few layers as any set of limits that fits") {
  // What backward holds falls from the last layer to the first, and the largest matrices stand in the middle.
  const std::vector<Chain::Layer> layers{
      {"stem", 4, 8}, {"body.0", 8, 48}, {"body.1", 48, 8}, {"body.2", 8, 24}, {"head", 24, 4}};
  const auto train = [&](const FitChoices& choices) {
    const ConvPolicyScope own({.choice = ConvPolicy::Choice::gemm});
    const WorkspaceLimitsScope limited(choices.workspace);
    Chain net(layers);
    for (int step = 0; step < 2; ++step) {
      const Tensor x = randn({choices.batch, 4, 160, 160}, {.device = Device()});
      sum(net.forward(x, 0, layers.size())).backward();
      for (Tensor& weight : net.weights) weight.zero_grad();
    }
  };
  int limited_one = 0, limited_more = 0;
  const Bytes plain = Fitting({.device = "virtual:cpu:1GiB", .batch = 2, .program = train}).plain().peak_reserved;
  for (Bytes capacity = plain + 512 * kKiB; capacity > plain / 4; capacity -= plain / 24) {
    CAPTURE(capacity);
    const std::string device = "virtual:cpu:" + std::to_string(capacity);
    Fitting fitting({.device = device, .batch = 2, .allow = {Technique::workspace}, .program = train});
    const std::vector<FitTrial> found = fitting.cheapest(1);
    const auto dry_runs = fitting.dry_runs();
    // Every set of layers without workspace.
    std::optional<std::size_t> fewest;
    for (unsigned set = 0; set < 1u << layers.size(); ++set) {
      FitChoices choices{.batch = 2};
      for (std::size_t i = 0; i < layers.size(); ++i) {
        if (set >> i & 1) choices.workspace.set(layers[i].path, 0);
      }
      const std::size_t count = choices.workspace.by_path().size();
      if ((!fewest || count < *fewest) && fitting.attempt(choices).fits) fewest = count;
    }
    REQUIRE(found.empty() == !fewest.has_value());
    if (found.empty()) continue;
    const WorkspaceLimits& limits = found.front().choices.workspace;
    CAPTURE(limits.text());
    // The plain way twice, no workspaces at all, the plain way again, and each limit set and tried to be left out.
    CHECK(dry_runs <= static_cast<std::int64_t>(4 + 2 * *fewest));
    CHECK(limits.by_path().size() == *fewest);
    CHECK_FALSE(limits.by_path().contains(""));
    limited_one += *fewest == 1 ? 1 : 0;
    limited_more += *fewest > 1 ? 1 : 0;
    const FitTrial again = fitting.attempt(found.front().choices);
    CHECK(again.fits);
    CHECK(again.peak_reserved == found.front().peak_reserved);
    CHECK(again.peak_allocated == found.front().peak_allocated);
  }
  CHECK(limited_one > 0);
  CHECK(limited_more > 0);
}

TEST_CASE("a plan needs a program") {
  FitRequest request;
  request.device = "virtual:64MiB";
  CHECK_THROWS_WITH_AS(plan(request), doctest::Contains("there is no program"), ConfigError);
}
