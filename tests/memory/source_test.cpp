#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <mnemo/memory/allocator.h>

#include "memory/source_conformance.h"
#include "memory/streamed_source.h"

namespace mnemo::memory {
namespace {

TEST_CASE("host memory is a source") { check_source({.make = make_host_source, .readable = true}); }

TEST_CASE("a virtual device is a source") {
  check_source({.make = [](Bytes bytes) { return std::make_unique<VirtualSource>(bytes); }});
}

TEST_CASE("a virtual device with a driver context is a source") {
  check_source({.make = [](Bytes bytes) { return std::make_unique<VirtualSource>(bytes + 3 * MiB, 3 * MiB); }});
}

TEST_CASE("the streamed device of these tests is a source") {
  check_source({.make = [](Bytes bytes) { return std::make_unique<StreamedSource>(bytes); }});
}

TEST_CASE("without a capacity host memory has that of the machine") {
  CHECK(make_host_source()->capacity() > 64 * MiB);
  CHECK(make_host_source()->free_bytes() == make_host_source()->capacity());
}

TEST_CASE("virtual segments always lie above the earlier ones") {
  VirtualSource source;
  CHECK(source.capacity() == 0);
  std::byte* before = nullptr;
  for (int i = 0; i < 100; ++i) {
    std::byte* segment = i % 3 == 0 ? source.reserve_range(20 * MiB) : source.allocate(2 * MiB);
    CHECK(segment > before);
    before = segment;
    if (i % 3 != 0) source.free(segment, 2 * MiB);
  }
}

TEST_CASE("the context of a virtual device is taken from the start") {
  VirtualSource source(100 * MiB, 30 * MiB);
  CHECK(source.capacity() == 100 * MiB);
  CHECK(source.free_bytes() == 70 * MiB);
  CHECK(source.allocate(72 * MiB) == nullptr);
  CHECK(VirtualSource(10 * MiB, 30 * MiB).free_bytes() == 0);
}

TEST_CASE("virtual events are pending until completed or waited for") {
  VirtualSource source;
  const EventId first = source.record(0);
  const EventId second = source.record(1);
  CHECK(!source.is_done(first));
  source.wait(first);
  CHECK(source.is_done(first));
  CHECK(!source.is_done(second));
  source.complete_events();
  CHECK(source.is_done(second));
  CHECK(!source.is_done(source.record(0)));
}

TEST_CASE("an unlimited virtual device gives what can be addressed, and then no more") {
  VirtualSource source;
  int segments = 0;
  while (source.allocate(Bytes{1} << 60) != nullptr) ++segments;
  CHECK(segments == 7);
}

TEST_CASE("blocks of host memory keep what is written to them") {
  for (const char* options : {"", "expandable_segments:True"}) {
    CAPTURE(options);
    CachingAllocator allocator(make_host_source(256 * MiB), AllocatorConfig::parse(options), "cpu");
    std::vector<Block*> blocks;
    const auto fill = [&](std::size_t i) {
      std::memset(blocks[i]->data, static_cast<int>(i + 1), static_cast<std::size_t>(blocks[i]->size));
    };
    for (const Bytes bytes : {512 * Bytes{1}, 100 * KiB, 2 * MiB, 12 * MiB, 700 * Bytes{1}, 30 * MiB}) {
      blocks.push_back(allocator.malloc(bytes));
      fill(blocks.size() - 1);
    }
    for (const std::size_t i : {std::size_t{1}, std::size_t{3}}) {
      allocator.free(blocks[i]);
      allocator.empty_cache();
      blocks[i] = allocator.malloc(5 * MiB);
      fill(i);
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      CAPTURE(i);
      const auto value = static_cast<std::byte>(i + 1);
      CHECK(reinterpret_cast<std::uintptr_t>(blocks[i]->data) % 512 == 0);
      CHECK(std::all_of(blocks[i]->data, blocks[i]->data + blocks[i]->size, [&](std::byte b) { return b == value; }));
    }
    for (Block* block : blocks) allocator.free(block);
  }
}

}  // namespace
}  // namespace mnemo::memory
