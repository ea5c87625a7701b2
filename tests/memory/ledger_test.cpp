// Who holds what: categories, the peak, events and their listeners.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <mnemo/memory/allocator.h>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

Bytes of(const CategoryBytes& categories, Category category) { return categories[static_cast<std::size_t>(category)]; }

TEST_CASE("a block counts with its whole size in the category of its tag") {
  VirtualDevice device;
  Block* weight = nullptr;
  {
    const CategoryScope category(Category::parameter);
    weight = device.malloc(19 * MiB);
  }
  const CategoryScope category(Category::live_activation);
  Block* activation = device.malloc(100);
  CHECK(of(device.allocator.categories(), Category::parameter) == 20 * MiB);
  CHECK(of(device.allocator.categories(), Category::live_activation) == 512);
  device.allocator.retag(activation, Category::saved_activation);
  CHECK(of(device.allocator.categories(), Category::live_activation) == 0);
  CHECK(of(device.allocator.categories(), Category::saved_activation) == 512);
  CHECK(activation->tag.category == Category::saved_activation);
  device.free(activation);
  device.free(weight);
  CHECK(device.allocator.categories() == CategoryBytes{});
  device.allocator.retag(nullptr, Category::input);
}

TEST_CASE("a block that waits for events is no longer held") {
  VirtualDevice device;
  const CategoryScope category(Category::input);
  Block* block = device.malloc(20 * MiB);
  device.allocator.record_stream(block, 1);
  device.free(block);
  CHECK(of(device.allocator.categories(), Category::input) == 0);
}

TEST_CASE("the peak remembers the categories and the tag that reached it") {
  VirtualDevice device;
  {
    const CategoryScope category(Category::parameter);
    device.malloc(20 * MiB);
  }
  const StepScope step(3);
  const OpScope op("conv3d");
  {
    const CategoryScope category(Category::workspace);
    Block* workspace = device.malloc(30 * MiB);
    device.allocator.retag(workspace, Category::temporary);  // later than the peak
    device.free(workspace);
  }
  device.malloc(512);
  const Peak peak = device.allocator.peak();
  CHECK(peak.allocated == 50 * MiB);
  CHECK(of(peak.categories, Category::parameter) == 20 * MiB);
  CHECK(of(peak.categories, Category::workspace) == 30 * MiB);
  CHECK(std::string(peak.tag.op) == "conv3d");
  CHECK(peak.tag.step == 3);
  CHECK(peak.tag.category == Category::workspace);
  device.allocator.reset_peak();
  CHECK(device.allocator.peak().allocated == 20 * MiB + 512);
  CHECK(device.allocator.peak().categories == device.allocator.categories());
}

TEST_CASE("every event tells what happened, and the totals after it") {
  VirtualDevice device("", 100 * MiB);
  std::vector<Event> events;
  const auto subscription = device.allocator.subscribe([&](const Event& event) { events.push_back(event); });
  const ModuleScope module("encoder.0");
  const CategoryScope category(Category::input);
  Block* block = device.malloc(20 * MiB - 100, 4);
  device.allocator.retag(block, Category::other);
  device.allocator.retag(block, Category::other);  // no change, no event
  device.allocator.record_stream(block, 5);
  device.allocator.marker("backward");
  device.free(block);
  CHECK_THROWS_AS(device.malloc(110 * MiB), OutOfMemory);

  const std::vector<EventKind> kinds{
      EventKind::segment_alloc,  EventKind::alloc,  EventKind::retag,        EventKind::marker, EventKind::free_requested,
      EventKind::marker, EventKind::free_completed, EventKind::segment_free, EventKind::oom};
  REQUIRE(events.size() == kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    CAPTURE(i);
    CHECK(events[i].kind == kinds[i]);
    CHECK(events[i].allocated == (i >= 1 && i <= 3 ? 20 * MiB : 0));
    CHECK(events[i].reserved == (i <= 6 ? 20 * MiB : 0));
  }
  CHECK(events[0].size == 20 * MiB);
  CHECK(events[0].requested == 0);
  CHECK(events[1].size == 20 * MiB);
  CHECK(events[1].requested == 20 * MiB - 100);
  CHECK(events[1].stream == 4);
  CHECK(events[1].tag.category == Category::input);
  CHECK(std::string(events[1].tag.module) == "encoder.0");
  CHECK(events[2].before == Category::input);
  CHECK(events[2].tag.category == Category::other);
  CHECK(std::string(events[3].tag.op) == "backward");
  CHECK(std::string(events[5].tag.op) == "retry");
  CHECK(events[6].requested == 20 * MiB - 100);
  CHECK(std::string(events[6].tag.module) == "encoder.0");
  CHECK(events[8].size == 110 * MiB);
  CHECK(events[8].requested == 110 * MiB);
}

TEST_CASE("mapping and unmapping are segment events with the position of the pages") {
  VirtualDevice device("expandable_segments:True", GiB);
  std::vector<Event> events;
  const auto subscription = device.allocator.subscribe([&](const Event& event) { events.push_back(event); });
  device.malloc(30 * MiB);
  Block* second = device.malloc(25 * MiB);
  device.free(second);
  device.allocator.empty_cache();
  std::vector<Event> segments;
  for (const Event& event : events) {
    if (event.kind == EventKind::segment_alloc || event.kind == EventKind::segment_free) segments.push_back(event);
  }
  REQUIRE(segments.size() == 3);
  CHECK(segments[0].position == 0);
  CHECK(segments[0].size == 40 * MiB);
  CHECK(segments[1].position == 40 * MiB);
  CHECK(segments[1].size == 20 * MiB);
  CHECK(segments[2].kind == EventKind::segment_free);
  CHECK(segments[2].position == 40 * MiB);
  CHECK(segments[2].reserved == 40 * MiB);
}

TEST_CASE("a subscription ends with its handle, also from within, also after the allocator") {
  auto device = std::make_unique<VirtualDevice>();
  int first = 0;
  int second = 0;
  std::shared_ptr<void> once;
  once = device->allocator.subscribe([&](const Event&) {
    ++first;
    once.reset();
  });
  auto always = device->allocator.subscribe([&](const Event&) { ++second; });
  Block* block = device->malloc(512);
  device->free(block);
  CHECK(first == 1);
  CHECK(second == 4);  // segment, alloc, free requested, free completed
  always.reset();
  device->malloc(512);
  CHECK(second == 4);
  auto survivor = device->allocator.subscribe([](const Event&) {});
  device.reset();
  survivor.reset();
}

TEST_CASE("once a subscription has ended, no call is under way") {
  VirtualDevice device;
  std::atomic<bool> stop = false;
  std::thread worker([&] {
    while (!stop) device.free(device.malloc(512));
  });
  for (int i = 0; i < 500; ++i) {
    auto alive = std::make_unique<int>(1);
    std::atomic<int> calls = 0;
    auto subscription = device.allocator.subscribe([&calls, value = alive.get()](const Event&) { calls += *value; });
    while (calls == 0) std::this_thread::yield();
    subscription.reset();
    alive.reset();  // the sanitizers would see a late call
  }
  stop = true;
  worker.join();
}

}  // namespace
}  // namespace mnemo::memory
