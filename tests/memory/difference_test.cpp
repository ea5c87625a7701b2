// Difference: what is compared with what, and causes that add up exactly.
#include <mnemo/memory/difference.h>

#include <algorithm>
#include <numeric>

#include <doctest/doctest.h>
#include <mnemo/memory/recorder.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"

using namespace mnemo::memory;

namespace {

Bytes sum(const Change& change) {
  return std::accumulate(change.causes.begin(), change.causes.end(), Bytes{0},
                         [](Bytes total, const Cause& cause) { return total + cause.bytes; });
}

void check_sums(const Difference& difference) {
  for (const Change* change : {&difference.peak_allocated, &difference.peak_reserved, &difference.device_use}) {
    CHECK(sum(*change) == change->b - change->a);
    CHECK(std::is_sorted(change->causes.begin(), change->causes.end(),
                         [](const Cause& a, const Cause& b) { return std::abs(a.bytes) > std::abs(b.bytes); }));
    for (const Cause& cause : change->causes) {
      CHECK(cause.bytes != 0);
      CHECK(cause.evidence != "");
    }
  }
  CHECK(difference.answer != "");
}

/// The bytes of a cause, added up over all places; of one place if it is given.
Bytes bytes_of(const Change& change, const std::string& name, const std::string& where = "") {
  Bytes bytes = 0;
  for (const Cause& cause : change.causes) {
    if (cause.cause == name && (where.empty() || cause.where == where)) bytes += cause.bytes;
  }
  return bytes;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A little net: a saved activation and a workspace in the forward pass, a gradient in backward.
struct Net {
  Bytes activation, workspace, gradient;
  const char* plan;
  std::optional<Bytes> context = 100;

  Recording run(const char* options = "") const {
    VirtualDevice device(options);
    const Recorder recorder = record(device.allocator, Ring{}, {.device = "virtual", .context = context});
    const StepScope step(1);
    const OpScope op("conv2d");
    const ModuleScope module("conv");
    Block* kept = nullptr;
    {
      const PhaseScope phase(Phase::forward);
      const CategoryScope saved(Category::saved_activation);
      kept = device.malloc(activation);
      device.allocator.marker(plan);
      const CategoryScope scratch(Category::workspace);
      device.free(workspace > 0 ? device.malloc(workspace) : nullptr);
    }
    const PhaseScope phase(Phase::backward);
    const CategoryScope category(Category::gradient);
    Block* made = device.malloc(gradient);
    device.free(kept);
    device.free(made);
    return recorder.recording();
  }
};

}  // namespace

TEST_CASE("a new algorithm is named with its workspace, and the rounding is a cause of its own") {
  // Peaks: 10 MiB + 1 KiB of workspace; 9 MiB - 24 (a block of 9 MiB) + 30 MiB of workspace.
  const Recording a = Net{10 * MiB, 1024, 512, "plan conv2d forward eng1 1024"}.run();
  const Recording b = Net{9 * MiB - 24, 30 * MiB, 512, "plan conv2d forward eng2_k0=18 31457280"}.run();
  const Difference d = difference(a, b);
  check_sums(d);
  CHECK(d.peak_allocated.a == 10 * MiB + 1024);
  CHECK(d.peak_allocated.b == 39 * MiB);
  REQUIRE(d.peak_allocated.causes.size() == 3);
  const Cause& workspace = d.peak_allocated.causes[0];
  CHECK(workspace.cause == "workspace");
  CHECK(workspace.where == "conv conv2d forward");
  CHECK(workspace.bytes == 30 * MiB - 1024);
  CHECK(contains(workspace.evidence, "1,024 bytes with eng1 -> 31,457,280 bytes with eng2_k0=18"));
  CHECK(workspace.algorithms == "eng1 -> eng2_k0=18");
  CHECK(bytes_of(d.peak_allocated, "activations saved", "conv conv2d") == -MiB - 24);
  CHECK(bytes_of(d.peak_allocated, "rounding") == 24);
  CHECK(contains(d.answer,
                 "Peak allocated rose by 29.00 MiB, 10.00 MiB to 39.00 MiB: "
                 "workspace of conv conv2d forward +30.00 MiB (eng1 -> eng2_k0=18)"));
}

TEST_CASE("a peak that moves is compared where the higher one lies") {
  // A peaks in forward with 5 MiB of workspace, B in backward with 8 MiB of gradient.
  const Net early{10 * MiB, 5 * MiB, 2 * MiB, "plan conv2d forward eng1 5242880"};
  const Net late{10 * MiB, 5 * MiB, 8 * MiB, "plan conv2d forward eng1 5242880"};
  const Difference rise = difference(early.run(), late.run());
  check_sums(rise);
  // In backward A has 12 MiB, B 18: six of gradient; but A's peak is 3 MiB higher than that.
  CHECK(rise.peak_allocated.b - rise.peak_allocated.a == 3 * MiB);
  CHECK(bytes_of(rise.peak_allocated, "gradients", "conv conv2d") == 6 * MiB);
  CHECK(bytes_of(rise.peak_allocated, "peak moved to another phase", "backward: conv2d of conv") == -3 * MiB);
  CHECK(rise.peak_allocated.causes.size() == 2);
  const Difference fall = difference(late.run(), early.run());
  check_sums(fall);
  CHECK(bytes_of(fall.peak_allocated, "gradients") == -6 * MiB);
  CHECK(bytes_of(fall.peak_allocated, "peak moved to another phase") == 3 * MiB);
  const std::string evidence = fall.peak_allocated.causes.back().evidence;
  CHECK(contains(evidence, "A peaks at 18,874,368 bytes in backward: conv2d of conv"));
  CHECK(contains(evidence, "B peaks at 15,728,640 bytes in forward: conv2d of conv"));
  CHECK(contains(evidence, "has 12,582,912 bytes in backward"));
}

TEST_CASE("cache, segments and context are causes of what is reserved and used") {
  // 12 MiB in a segment of their own; 3 MiB in one of 20 MiB or of 40.
  Net net{12 * MiB, 3 * MiB, 512, "plan conv2d forward eng1 3145728"};
  const Recording a = net.run();
  net.context = 4196;
  const Recording b = net.run("large_segment_size_mb:40");
  const Difference d = difference(a, b);
  check_sums(d);
  CHECK(d.peak_allocated.causes.empty());
  CHECK(contains(d.answer, "Peak allocated is the same, 15.00 MiB"));
  CHECK(d.peak_reserved.b - d.peak_reserved.a == 20 * MiB);
  CHECK(bytes_of(d.peak_reserved, "cached blocks not reusable", "gaps between blocks") == 20 * MiB);
  CHECK(bytes_of(d.device_use, "context") == 4096);
  net.context = {};
  const Difference unknown = difference(a, net.run());
  check_sums(unknown);
  CHECK(bytes_of(unknown.device_use, "context") == -100);
  CHECK(contains(unknown.device_use.causes[0].evidence, "unknown, counted as 0"));
}

TEST_CASE("a recording does not differ from itself, and one of nothing can be compared") {
  const Recording a = Net{10 * MiB, 5 * MiB, MiB, "plan conv2d forward eng1 5242880"}.run();
  const Difference same = difference(a, a);
  check_sums(same);
  CHECK(same.device_use.causes.empty());
  VirtualDevice device;
  const Recording nothing = record(device.allocator, Ring{}).recording();
  check_sums(difference(nothing, a));
  check_sums(difference(a, nothing));
  check_sums(difference(nothing, nothing));
}

TEST_CASE("names of a recording cannot write to the terminal") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  const OpScope op("evil\x1b[2J\n");
  device.malloc(512);
  VirtualDevice unused;
  const Recording nothing = record(unused.allocator, Ring{}).recording();
  const Difference d = difference(nothing, recorder.recording());
  check_sums(d);
  REQUIRE(!d.peak_allocated.causes.empty());
  CHECK(d.peak_allocated.causes[0].where == "evil\\x1b[2J\\x0a");
}

TEST_CASE("causes add up for all pairs of random workloads") {
  std::vector<Recording> recordings;
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:32,roundup_power2_divisions:4"}) {
    RecordedWorkload workload(options, 300 * MiB);
    for (const int operations : {40, 300, 900}) {
      // Each begins with what the one before left.
      const Recorder recorder = record(workload.allocator(), Ring{}, {.device = options, .context = operations});
      workload.run(operations);
      recordings.push_back(recorder.recording());
    }
  }
  int moved = 0;
  for (const Recording& a : recordings) {
    for (const Recording& b : recordings) {
      const Difference d = difference(a, b);
      CHECK(d.peak_allocated.a == a.peak().bytes);
      CHECK(d.peak_allocated.b == b.peak().bytes);
      CHECK(d.peak_reserved.b == b.peak_reserved().bytes);
      CHECK(d.device_use.b == b.peak_reserved().bytes + *b.header().context);
      check_sums(d);
      if (bytes_of(d.peak_allocated, "peak moved to another phase") != 0) ++moved;
    }
  }
  CHECK(moved > 0);
}
