// Expandable segments: growth in pages, closed holes first, release of whole pages.
#include <doctest/doctest.h>

#include <mnemo/memory/allocator.h>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

constexpr const char* kOn = "expandable_segments:True";

TEST_CASE("a range grows by whole pages and uses its tail") {
  VirtualDevice device(kOn, GiB);
  Block* a = device.malloc(30 * MiB);
  CHECK(device.allocated() == 30 * MiB);
  CHECK(device.reserved() == 40 * MiB);
  Block* b = device.malloc(25 * MiB);
  CHECK(device.allocated() == 55 * MiB);
  CHECK(device.reserved() == 60 * MiB);
  CHECK(b->position == a->position + 30 * MiB);
  const Statistics s = device.allocator.statistics();
  CHECK(s.segment.all.allocated == 0);  // not counted for ranges
  CHECK(s.inactive_split.all.allocated == 0);
  CHECK(s.num_device_alloc == 2);
}

TEST_CASE("the small pool has a range of its own with pages of 2 MiB") {
  VirtualDevice device(kOn, GiB);
  device.malloc(1);
  CHECK(device.allocated() == 512);
  CHECK(device.reserved() == 2 * MiB);
  device.malloc(MiB + 1);
  CHECK(device.reserved() == 22 * MiB);
  for (int i = 0; i < 2; ++i) device.malloc(MiB);
  CHECK(device.reserved() == 24 * MiB);
}

TEST_CASE("pages of the large pool follow the large segment size") {
  VirtualDevice device("expandable_segments:True,large_segment_size_mb:32", GiB);
  device.malloc(2 * MiB);
  CHECK(device.reserved() == 32 * MiB);
}

TEST_CASE("large blocks are split when 512 bytes are left") {
  VirtualDevice device(kOn, GiB);
  device.malloc(20 * MiB - 512);
  CHECK(device.allocated() == 20 * MiB - 512);
  CHECK(device.reserved() == 20 * MiB);
  device.free(device.malloc(19 * MiB));
  CHECK(device.malloc(19 * MiB)->size == 19 * MiB);
}

TEST_CASE("a closed hole is preferred to the growing tail") {
  VirtualDevice device(kOn, GiB);
  Block* hole = device.malloc(15 * MiB);
  device.malloc(20 * MiB);  // 35 of 40 MiB are used: 5 MiB at the tail
  const std::uint64_t position = hole->position;
  device.free(hole);
  // For 4 MiB the tail (5) fits tighter than the hole (15), but it can grow.
  CHECK(device.malloc(4 * MiB)->position == position);
}

TEST_CASE("a free block before the unmapped part is completed, not passed by") {
  VirtualDevice device(kOn, GiB);
  Block* a = device.malloc(15 * MiB);
  Block* b = device.malloc(20 * MiB);
  device.free(b);  // 25 MiB are free at the end of 40
  CHECK(device.malloc(45 * MiB)->position == 15 * MiB);
  CHECK(device.reserved() == 60 * MiB);
  device.free(a);
}

TEST_CASE("streams have ranges of their own") {
  VirtualDevice device(kOn, GiB);
  device.free(device.malloc(20 * MiB, 1));
  device.malloc(20 * MiB, 2);
  CHECK(device.reserved() == 40 * MiB);
}

TEST_CASE("only pages that are wholly free go back") {
  VirtualDevice device(kOn, GiB);
  Block* a = device.malloc(30 * MiB);
  Block* b = device.malloc(25 * MiB);
  device.free(a);  // pages: [0,20) free, [20,40) shared with b, [40,60) b and the tail
  device.allocator.empty_cache();
  CHECK(device.reserved() == 40 * MiB);
  CHECK(device.allocator.statistics().num_device_free == 1);
  // The edge of 10 MiB is still there, and grows back into the hole.
  CHECK(device.malloc(10 * MiB)->position == 20 * MiB);
  CHECK(device.reserved() == 40 * MiB);
  CHECK(device.malloc(15 * MiB)->position == 0);
  CHECK(device.reserved() == 60 * MiB);
  device.free(b);
}

TEST_CASE("growth joins free edges and holes between them") {
  VirtualDevice device(kOn, GiB);
  Block* a = device.malloc(50 * MiB);  // pages 0, 1, 2
  Block* b = device.malloc(10 * MiB);
  device.free(a);
  device.allocator.empty_cache();  // pages 0 and 1 go; 10 MiB of page 2 stay before b
  CHECK(device.reserved() == 20 * MiB);
  Block* c = device.malloc(45 * MiB);
  CHECK(c->position == 0);  // page 0 and 1 again, and 5 of the 10 MiB
  CHECK(device.reserved() == 60 * MiB);
  CHECK(b->position == 50 * MiB);
}

TEST_CASE("a range without memory is destroyed, and a new one lies above it") {
  VirtualDevice device(kOn, 100 * MiB);
  device.free(device.malloc(30 * MiB));
  device.allocator.empty_cache();
  CHECK(device.reserved() == 0);
  // 9/8 of 100 MiB are 112.5: six pages of 20 MiB.
  CHECK(device.malloc(30 * MiB)->position == 120 * MiB);
}

TEST_CASE("when a range has no room left a second one is made") {
  VirtualDevice device(kOn, 100 * MiB);  // ranges of 120 MiB
  Block* a = device.malloc(40 * MiB);
  Block* b = device.malloc(20 * MiB);
  device.free(a);
  device.allocator.empty_cache();  // [0, 40) is unmapped, [40, 60) is b, [60, 120) is unmapped
  CHECK(device.malloc(70 * MiB)->position == 120 * MiB);
  CHECK(device.reserved() == 100 * MiB);
  device.free(b);
}

TEST_CASE("exhaustion while growing: pages mapped before stay, then the cache is given back") {
  VirtualDevice device(kOn, 100 * MiB);
  Block* a = device.malloc(60 * MiB);
  CHECK_THROWS_AS(device.malloc(50 * MiB), OutOfMemory);
  CHECK(device.reserved() == 60 * MiB);
  const Statistics s = device.allocator.statistics();
  CHECK(s.num_ooms == 1);
  CHECK(s.num_alloc_retries == 1);
  device.free(a);
  CHECK(device.malloc(95 * MiB)->size == 95 * MiB);
  CHECK(device.reserved() == 100 * MiB);
}

TEST_CASE("a request beyond the whole range fails like any other") {
  VirtualDevice device(kOn, 100 * MiB);
  CHECK_THROWS_AS(device.malloc(500 * MiB), OutOfMemory);
  CHECK(device.reserved() == 0);
}

TEST_CASE("an unlimited device gives ranges for any request") {
  VirtualDevice device(kOn);
  CHECK(device.malloc(3000 * GiB)->size == 3000 * GiB);
}

TEST_CASE("the memory fraction counts mapped bytes and the size of a plain segment") {
  VirtualDevice device("expandable_segments:True,per_process_memory_fraction:0.5", 100 * MiB);
  device.malloc(30 * MiB);  // 40 are mapped
  CHECK_THROWS_AS(device.malloc(11 * MiB), OutOfMemory);
  CHECK(device.malloc(10 * MiB) != nullptr);  // the tail
}

TEST_CASE("with the option off expandable blocks are passed over, and the other way round plain ones are used") {
  VirtualDevice device("", GiB);
  device.free(device.malloc(30 * MiB));
  device.allocator.configure(AllocatorConfig::parse(kOn));
  Block* plain = device.malloc(29 * MiB + MiB / 2);  // split, as 512 bytes suffice now
  CHECK(device.reserved() == 30 * MiB);
  CHECK(device.inactive_split() == MiB / 2);
  device.free(plain);
  CHECK(device.inactive_split() == 0);
  Block* grown = device.malloc(35 * MiB);
  CHECK(device.reserved() == 70 * MiB);
  device.free(grown);
  device.allocator.configure({});
  device.malloc(32 * MiB);  // 40 expandable ones are free
  CHECK(device.reserved() == 102 * MiB);
}

TEST_CASE("oversize rules apply to expandable blocks too") {
  VirtualDevice device("expandable_segments:True,max_split_size_mb:20", GiB);
  Block* hole = device.malloc(40 * MiB);
  device.malloc(2 * MiB);
  device.free(hole);
  CHECK(device.reserved() == 60 * MiB);
  device.malloc(19 * MiB);  // 40 are free, but oversize; the tail has 18 and gets a page more
  CHECK(device.reserved() == 80 * MiB);
}

TEST_CASE("a source without virtual addressing gets plain segments") {
  struct Plain final : Source {
    std::byte* allocate(Bytes bytes) override { return device.allocate(bytes); }
    void free(std::byte* segment, Bytes bytes) noexcept override { device.free(segment, bytes); }
    std::byte* reserve_range(Bytes) override { return nullptr; }
    void release_range(std::byte*, Bytes) noexcept override {}
    bool map(std::byte*, Bytes) override { return false; }
    void unmap(std::byte*, Bytes) noexcept override {}
    Bytes capacity() const override { return 0; }
    Bytes free_bytes() const override { return 0; }
    EventId record(StreamId) override { return 0; }
    bool is_done(EventId) override { return true; }
    void wait(EventId) override {}
    VirtualSource device;
  };
  CachingAllocator allocator(std::make_unique<Plain>(), AllocatorConfig::parse(kOn));
  allocator.malloc(19 * MiB);
  CHECK(allocator.allocated() == 20 * MiB);  // the rules of plain segments
  CHECK(allocator.statistics().segment.all.current == 1);
}

}  // namespace
}  // namespace mnemo::memory
