// The same training program on `cpu` and on `virtual:cpu`: every event of memory is the same, for every model.
#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "models/registry.h"
#include "training/trainer.h"

using namespace mnemo;
using memory::Event;
using memory::EventKind;

namespace {

/// A batch and a size that are quick to compute on a CPU.
struct Small {
  const char* model;
  std::int64_t batch, size;
  training::Rule rule = training::Rule::adam;
};

constexpr Small kSmall[] = {
    {"simple-conv", 4, 28},
    {"small-network", 2, 32},
    {"larger-conv-network", 1, 32},
    {"conv1d", 2, 40},
    {"conv1d-downsample", 2, 41},
    {"conv1d-separable", 2, 40},
    {"conv3d-pad2", 2, 7},
    {"conv3d-k3", 2, 9},
    {"conv3d-k7", 1, 11},
    {"mlp", 5, 28},
    {"resnet18", 2, 48},
    {"resnet50", 2, 40},
    {"unet3d", 1, 8},
    {"lstm", 3, 5},
    {"transformer", 2, 9},
    {"vgg16", 1, 224, training::Rule::sgd},
};

/// Every event from before the model is made until after its second step.
std::vector<Event> events_of(const char* device_name, const Small& small) {
  const Device device = Device::open(device_name, {});
  const DeviceScope scope(device);
  manual_seed(3);
  std::vector<Event> events;
  const auto subscription = device.allocator().subscribe([&events](const Event& event) { events.push_back(event); });
  training::Trainer trainer(*models::find_spec(small.model), small.rule);
  for (int step = 0; step < 2; ++step) trainer.step(small.batch, small.size);
  return events;
}

std::string text(const Event& e) {
  return std::string(name(e.kind)) + " at " + std::to_string(e.position) + ", size " + std::to_string(e.size) +
         ", requested " + std::to_string(e.requested) + ", " + name(e.tag.category) + " (before: " + name(e.before) +
         "), " + name(e.tag.phase) + ", " + e.tag.op + " of '" + e.tag.module + "', step " +
         std::to_string(e.tag.step) + ", stream " + std::to_string(e.stream) + ", allocated " +
         std::to_string(e.allocated) + ", reserved " + std::to_string(e.reserved);
}

/// Adds up the categories from the events alone; the first event after which they are not `allocated`, or -1.
std::ptrdiff_t first_unexplained(const std::vector<Event>& events) {
  memory::CategoryBytes held{};
  const auto of = [&held](memory::Category category) -> memory::Bytes& {
    return held[static_cast<std::size_t>(category)];
  };
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    if (event.kind == EventKind::alloc) of(event.tag.category) += event.size;
    if (event.kind == EventKind::free_requested) of(event.tag.category) -= event.size;
    if (event.kind == EventKind::retag) of(event.before) -= event.size, of(event.tag.category) += event.size;
    const bool negative = std::any_of(held.begin(), held.end(), [](memory::Bytes bytes) { return bytes < 0; });
    const memory::Bytes sum = std::accumulate(held.begin(), held.end(), memory::Bytes{0});
    if (negative || sum != event.allocated || event.allocated > event.reserved) return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

}  // namespace

TEST_CASE("cpu and virtual:cpu have the same events, and the categories explain every byte after each") {
  for (const models::Spec& spec : models::specs()) {
    CAPTURE(spec.name);
    const auto small = std::find_if(std::begin(kSmall), std::end(kSmall),
                                    [&](const Small& s) { return std::string_view(s.model) == spec.name; });
    REQUIRE(small != std::end(kSmall));
    const std::vector<Event> real = events_of("cpu", *small), shapes_only = events_of("virtual:cpu", *small);
    CHECK(real.size() > 50);
    REQUIRE(real.size() == shapes_only.size());
    for (std::size_t i = 0; i < real.size(); ++i) {
      CAPTURE(i);
      REQUIRE(text(real[i]) == text(shapes_only[i]));
    }
    CHECK(first_unexplained(real) == -1);
  }
}

TEST_CASE("the events are the same under every algorithm and allocator option") {
  const auto run = [](const char* device_name, ConvPolicy::Choice choice, const char* config) {
    const Device device = Device::open(device_name, memory::AllocatorConfig::parse(config));
    const DeviceScope scope(device);
    const ConvPolicyScope algorithm({.choice = choice});
    std::vector<std::string> lines;
    const auto subscription =
        device.allocator().subscribe([&lines](const Event& event) { lines.push_back(text(event)); });
    training::Trainer trainer(*models::find_spec("unet3d"), training::Rule::sgd);
    trainer.step(1, 8), trainer.step(2, 12), trainer.step(2, 4);
    return lines;
  };
  for (const char* config : {"", "expandable_segments:True", "roundup_power2_divisions:4"}) {
    for (const auto choice : {ConvPolicy::Choice::direct, ConvPolicy::Choice::gemm}) {
      // With a capacity: the address range of an expandable segment, and so the place of the next one, goes with it.
      const auto real = run("cpu:1GiB", choice, config), shapes_only = run("virtual:cpu:1GiB", choice, config);
      const auto differ = std::mismatch(real.begin(), real.end(), shapes_only.begin(), shapes_only.end());
      CAPTURE(config);
      CAPTURE(differ.first - real.begin());
      CHECK((differ.first == real.end() ? "the end" : *differ.first) ==
            (differ.second == shapes_only.end() ? "the end" : *differ.second));
    }
  }
}
