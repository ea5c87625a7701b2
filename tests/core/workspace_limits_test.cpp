#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <mnemo/core/conv.h>
#include <mnemo/core/device.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/core/workspace_limits.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/tag.h>

using namespace mnemo;
using memory::Bytes;

namespace {

constexpr Bytes kMiB = 1 << 20;

/// The workspaces of the three passes of a small convolution in a module.
std::vector<Bytes> workspaces(const Device& device, const char* module) {
  const memory::ModuleScope scope(module);
  const Array x(Shape{2, 3, 20, 20}, DType::float32, device), w(Shape{16, 3, 3, 3}, DType::float32, device);
  const ConvProblem problem = conv_problem("conv2d", x, w, {}, 2, {.padding = 1});
  const ConvTrace trace;
  const Array y = conv(problem, x, w, {});
  conv_data_gradient(problem, y, w);
  conv_weight_gradient(problem, x, y);
  std::vector<Bytes> bytes;
  for (const ConvTrace::Entry& entry : trace.entries()) bytes.push_back(entry.plan.workspace);
  return bytes;
}

}  // namespace

TEST_CASE("workspace limits: the most specific path wins") {
  const WorkspaceLimits limits({{"", 64 * kMiB}, {"layer3", 0}, {"layer3.0.conv1", 8 * kMiB}, {"layer30", 5}});
  CHECK(limits.of("conv1") == 64 * kMiB);
  CHECK(limits.of("") == 64 * kMiB);
  CHECK(limits.of("layer3") == 0);
  CHECK(limits.of("layer3.0") == 0);
  CHECK(limits.of("layer3.0.conv1") == 8 * kMiB);
  CHECK(limits.of("layer3.0.conv1.inner") == 8 * kMiB);
  CHECK(limits.of("layer3.0.conv11") == 0);
  CHECK(limits.of("layer30.0") == 5);
  CHECK(limits.of("layer31") == 64 * kMiB);
  CHECK_FALSE(WorkspaceLimits({{"a", 1}}).of("b").has_value());
  CHECK_FALSE(WorkspaceLimits({{"a.b", 1}}).of("a").has_value());
  CHECK_FALSE(WorkspaceLimits().of("a").has_value());
}

TEST_CASE("workspace limits: as a search over all paths says, whatever the tree") {
  std::mt19937 random(7);
  const auto path = [&] {
    std::string text;
    for (unsigned depth = random() % 4; depth > 0; --depth)
      text += (text.empty() ? "" : ".") + std::string(1, "ab1"[random() % 3]);
    return text;
  };
  const auto some = [&] {
    WorkspaceLimits limits;
    for (unsigned count = random() % 5; count > 0; --count) limits.set(path(), static_cast<Bytes>(random() % 1000));
    return limits;
  };
  constexpr Bytes kNone = 1 << 30;
  for (int i = 0; i < 500; ++i) {
    const WorkspaceLimits a = some(), b = some(), two = both(a, b);
    const std::string layer = path();
    CHECK(two.of(layer).value_or(kNone) == std::min(a.of(layer).value_or(kNone), b.of(layer).value_or(kNone)));
  }
  for (int i = 0; i < 500; ++i) {
    const WorkspaceLimits limits = some();
    const std::string module = path();
    std::optional<Bytes> expected;
    std::size_t longest = 0;
    for (const auto& [each, limit] : limits.by_path()) {
      const bool holds = each.empty() || (module + '.').starts_with(each + '.');
      if (!holds || (expected && each.size() < longest)) continue;
      expected = limit;
      longest = each.size();
    }
    CHECK(limits.of(module) == expected);
    if (!limits.empty()) CHECK(parse_workspace_limits(limits.text()) == limits);
  }
}

TEST_CASE("workspace limits: their text") {
  const WorkspaceLimits limits = parse_workspace_limits("layer4.0.conv1=8MiB,64MiB,layer3=0,odd=1000,g=2 GiB,k=1536");
  CHECK(limits.by_path() == WorkspaceLimits::ByPath{{"", 64 * kMiB},
                                                    {"g", 2048 * kMiB},
                                                    {"k", 1536},
                                                    {"layer3", 0},
                                                    {"layer4.0.conv1", 8 * kMiB},
                                                    {"odd", 1000}});
  CHECK(limits.text() == "64MiB,g=2GiB,k=1536,layer3=0,layer4.0.conv1=8MiB,odd=1000");
  CHECK(parse_workspace_limits("0").text() == "0");
  CHECK(WorkspaceLimits().text().empty());
  for (const char* text : {"", "lots", "layer3=", "=4MiB", "a=1,a=2", "1MiB,2MiB", "a=1,", ".a=1", "a.=1", "a..b=1",
                           "a b=1", "a=-1", "a=b=1", "0x10"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_workspace_limits(text), ConfigError);
  }
  CHECK_THROWS_AS(WorkspaceLimits().set("a", -1), ConfigError);
}

TEST_CASE("workspace limits: they last for a scope") {
  CHECK(workspace_limits().empty());
  {
    const WorkspaceLimitsScope outer(parse_workspace_limits("a=1"));
    {
      const WorkspaceLimitsScope inner(parse_workspace_limits("b=2"));
      CHECK(workspace_limits().text() == "b=2");
    }
    CHECK(workspace_limits().text() == "a=1");
  }
  CHECK(workspace_limits().empty());
}

TEST_CASE("workspace limits: a convolution keeps to that of its module, in each pass") {
  const Bytes matrix = 3 * 3 * 3 * 20 * 20 * 4;  // one image unfolded
  for (const char* name : {"virtual:cpu", "virtual:a100-40gb"}) {
    CAPTURE(name);
    const Device device = Device::open(name, {});
    // mnemo's own algorithm over the unfolded matrix: no workspace as soon as the limit is below it.
    const ConvPolicyScope own({.choice = ConvPolicy::Choice::gemm});
    const std::vector<Bytes> whole{matrix, matrix, matrix}, none{0, 0, 0};
    CHECK(workspaces(device, "a.b") == whole);
    const WorkspaceLimitsScope limited(WorkspaceLimits({{"a", matrix - 1}, {"a.c", matrix}, {"d", 0}}));
    CHECK(workspaces(device, "a.b") == none);
    CHECK(workspaces(device, "a.c") == whole);
    CHECK(workspaces(device, "d") == none);
    CHECK(workspaces(device, "e") == whole);
    CHECK(workspaces(device, "") == whole);
    const ConvPolicyScope both({.choice = ConvPolicy::Choice::gemm, .workspace_limit = matrix - 1});
    CHECK(workspaces(device, "a.c") == none);  // the policy's own limit holds besides
  }
}

TEST_CASE("workspace limits: on a CPU the data gradient that is unfolded of itself, too") {
  const Device device = Device::open("virtual:cpu", {});
  const Bytes matrix = 3 * 3 * 3 * 20 * 20 * 4;
  CHECK(workspaces(device, "a") == std::vector<Bytes>{0, matrix, 0});
  const WorkspaceLimitsScope limited(WorkspaceLimits({{"a", matrix - 1}}));
  CHECK(workspaces(device, "a") == std::vector<Bytes>{0, 0, 0});
  CHECK(workspaces(device, "b") == std::vector<Bytes>{0, matrix, 0});
}
