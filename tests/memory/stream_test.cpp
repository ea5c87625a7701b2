// Blocks that other streams use: what waits for which event.
#include <doctest/doctest.h>

#include <mnemo/memory/allocator.h>

#include "memory/streamed_source.h"
#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

struct StreamedDevice {
  StreamedSource* source = new StreamedSource;  // owned by the allocator
  CachingAllocator allocator{std::unique_ptr<Source>(source)};
};

TEST_CASE("a block that another stream uses is not reused before its event") {
  VirtualDevice device;
  Block* block = device.malloc(20 * MiB, 1);
  device.allocator.record_stream(block, 2);
  device.free(block);
  CHECK(device.allocated() == 0);  // at once
  Statistics s = device.allocator.statistics();
  CHECK(s.allocation.all.current == 0);
  CHECK(s.active.all.current == 1);
  CHECK(s.active_bytes.all.current == 20 * MiB);
  CHECK(s.requested_bytes.all.current == 20 * MiB);
  device.malloc(20 * MiB, 1);
  CHECK(device.allocated() == 20'971'520);
  CHECK(device.reserved() == 41'943'040);

  device.source->complete_events();
  CHECK(device.allocator.statistics().active.all.current == 2);  // noticed only by the next malloc
  device.malloc(20 * MiB, 1);
  CHECK(device.reserved() == 41'943'040);
  s = device.allocator.statistics();
  CHECK(s.active.all.current == 2);
  CHECK(s.active_bytes.all.current == 40 * MiB);
}

TEST_CASE("a malloc of nothing does not look at events") {
  VirtualDevice device;
  Block* block = device.malloc(512, 1);
  device.allocator.record_stream(block, 2);
  device.free(block);
  device.source->complete_events();
  device.malloc(0);
  CHECK(device.allocator.statistics().active.all.current == 1);
  device.malloc(512, 5);  // any stream's malloc does
  CHECK(device.allocator.statistics().active.all.current == 1);
  CHECK(device.allocator.statistics().active.all.freed == 1);
}

TEST_CASE("the block's own stream is not recorded") {
  VirtualDevice device;
  Block* block = device.malloc(512, 1);
  device.allocator.record_stream(block, 1);
  device.allocator.record_stream(nullptr, 1);
  device.free(block);
  CHECK(device.allocator.statistics().active.all.current == 0);
}

TEST_CASE("a block waits for every stream that was recorded, each once") {
  StreamedDevice device;
  Block* block = device.allocator.malloc(20 * MiB, 1);
  for (const StreamId stream : {2, 3, 2}) device.allocator.record_stream(block, stream);
  CHECK(block->stream_uses.size() == 2);
  device.allocator.free(block);
  device.source->complete(2);
  device.allocator.malloc(512, 9);
  CHECK(device.allocator.statistics().active.large_pool.current == 1);
  device.source->complete(3);
  device.allocator.malloc(512, 9);
  CHECK(device.allocator.statistics().active.large_pool.current == 0);
}

TEST_CASE("streams finish independently, each in its order") {
  StreamedDevice device;
  Block* a = device.allocator.malloc(20 * MiB, 1);
  Block* b = device.allocator.malloc(30 * MiB, 1);
  device.allocator.record_stream(a, 2);
  device.allocator.record_stream(b, 3);
  device.allocator.free(a);
  device.allocator.free(b);
  device.source->complete(3);
  CHECK(device.allocator.malloc(25 * MiB, 1)->size == 25 * MiB);  // out of b
  CHECK(device.allocator.reserved() == 50 * MiB);
  CHECK(device.allocator.statistics().active.large_pool.current == 2);
}

TEST_CASE("a waiting block keeps its neighbours apart") {
  VirtualDevice device;
  Block* a = device.malloc(512);
  Block* b = device.malloc(512);
  Block* c = device.malloc(512);
  device.allocator.record_stream(b, 1);
  device.free(b);
  device.free(a);
  device.free(c);
  CHECK(device.allocator.statistics().inactive_split.all.current == 2);
  device.allocator.empty_cache();  // waits, so that all merge, and gives the segment back
  CHECK(device.reserved() == 0);
  CHECK(device.allocator.statistics().inactive_split.all.current == 0);
  CHECK(device.allocator.statistics().active.all.current == 0);
}

TEST_CASE("an exhausted device waits for the events") {
  VirtualDevice device("", 100 * MiB);
  Block* block = device.malloc(60 * MiB, 1);
  device.allocator.record_stream(block, 2);
  device.free(block);
  CHECK(device.malloc(70 * MiB, 1)->size == 70 * MiB);
  CHECK(device.reserved() == 70 * MiB);
  CHECK(device.allocator.statistics().num_sync_all_streams == 1);
}

TEST_CASE("the events of a block that is used again are new ones") {
  StreamedDevice device;
  Block* block = device.allocator.malloc(20 * MiB, 1);
  device.allocator.record_stream(block, 2);
  device.allocator.free(block);
  device.source->complete(2);
  Block* again = device.allocator.malloc(20 * MiB, 1);
  CHECK(again->stream_uses.empty());
  CHECK(again->pending_events == 0);
  device.allocator.record_stream(again, 2);
  device.allocator.free(again);
  device.allocator.malloc(20 * MiB, 1);
  CHECK(device.allocator.reserved() == 40 * MiB);
}

}  // namespace
}  // namespace mnemo::memory
