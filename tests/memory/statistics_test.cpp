#include <doctest/doctest.h>

#include <mnemo/memory/allocator.h>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

void check_stat(const Stat& stat, std::int64_t current, std::int64_t peak, std::int64_t allocated, std::int64_t freed) {
  CHECK(stat.current == current);
  CHECK(stat.peak == peak);
  CHECK(stat.allocated == allocated);
  CHECK(stat.freed == freed);
}

TEST_CASE("counters keep current, peak, allocated and freed, for all and per pool") {
  VirtualDevice device;
  Block* a = device.malloc(600);      // 1024 of a small segment
  Block* b = device.malloc(3 * MiB);  // of a large one
  device.free(a);
  Block* c = device.malloc(100);  // 512
  const Statistics s = device.allocator.statistics();
  check_stat(s.allocation.all, 2, 2, 3, 1);
  check_stat(s.allocation.small_pool, 1, 1, 2, 1);
  check_stat(s.allocation.large_pool, 1, 1, 1, 0);
  check_stat(s.allocated_bytes.all, 3 * MiB + 512, 3 * MiB + 1024, 3 * MiB + 1536, 1024);
  check_stat(s.requested_bytes.all, 3 * MiB + 100, 3 * MiB + 600, 3 * MiB + 700, 600);
  check_stat(s.active_bytes.small_pool, 512, 1024, 1536, 1024);
  check_stat(s.segment.all, 2, 2, 2, 0);
  check_stat(s.reserved_bytes.all, 22 * MiB, 22 * MiB, 22 * MiB, 0);
  check_stat(s.reserved_bytes.small_pool, 2 * MiB, 2 * MiB, 2 * MiB, 0);
  device.free(b);
  device.free(c);
  device.allocator.empty_cache();
  const Statistics after = device.allocator.statistics();
  check_stat(after.allocated_bytes.all, 0, 3 * MiB + 1024, 3 * MiB + 1536, 3 * MiB + 1536);
  check_stat(after.segment.all, 0, 2, 2, 2);
  check_stat(after.reserved_bytes.all, 0, 22 * MiB, 22 * MiB, 22 * MiB);
  check_stat(after.inactive_split.all, 0, 2, 3, 3);
}

TEST_CASE("split blocks are counted step by step") {
  VirtualDevice device;
  const auto split = [&] { return device.allocator.statistics().inactive_split; };
  const auto bytes = [&] { return device.allocator.statistics().inactive_split_bytes; };
  Block* a = device.malloc(512);  // a new split: +1, + the rest
  check_stat(split().all, 1, 1, 1, 0);
  check_stat(bytes().all, 2 * MiB - 512, 2 * MiB - 512, 2 * MiB - 512, 0);
  Block* b = device.malloc(1024);  // a split block shrinks
  check_stat(split().all, 1, 1, 1, 0);
  check_stat(bytes().all, 2 * MiB - 1536, 2 * MiB - 512, 2 * MiB - 512, 1024);
  device.free(a);  // nothing to merge with, a neighbour: +1
  check_stat(split().all, 2, 2, 2, 0);
  check_stat(bytes().all, 2 * MiB - 1024, 2 * MiB - 512, 2 * MiB, 1024);
  a = device.malloc(512);  // a whole split block is taken: -1
  check_stat(split().all, 1, 2, 2, 1);
  device.free(a);
  device.free(b);  // merges with both; the whole segment is free, so none is left: -2
  check_stat(split().all, 0, 2, 3, 3);
  CHECK(bytes().all.current == 0);
}

TEST_CASE("peaks and histories can be reset apart") {
  VirtualDevice device("", 100 * MiB);
  device.free(device.malloc(50 * MiB));
  device.malloc(20 * MiB);
  CHECK_THROWS_AS(device.malloc(200 * MiB), OutOfMemory);
  device.allocator.reset_peak();
  Statistics s = device.allocator.statistics();
  check_stat(s.allocated_bytes.all, 20 * MiB, 20 * MiB, 70 * MiB, 50 * MiB);
  CHECK(device.allocator.peak().allocated == 20 * MiB);
  device.allocator.reset_accumulated();
  s = device.allocator.statistics();
  check_stat(s.allocated_bytes.all, 20 * MiB, 20 * MiB, 0, 0);
  CHECK(s.num_ooms == 0);
  CHECK(s.num_alloc_retries == 0);
  CHECK(s.num_sync_all_streams == 0);
  CHECK(s.num_device_alloc == 0);
  CHECK(s.num_device_free == 0);
}

TEST_CASE("oversize counters follow blocks and segments, whatever the option becomes") {
  VirtualDevice device("max_split_size_mb:100");
  Block* block = device.malloc(150 * MiB);
  device.allocator.configure({});
  device.free(block);
  device.allocator.empty_cache();
  const Statistics s = device.allocator.statistics();
  check_stat(s.oversize_allocations, 0, 1, 1, 1);
  check_stat(s.oversize_segments, 0, 1, 1, 1);
}

}  // namespace
}  // namespace mnemo::memory
