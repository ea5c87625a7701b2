#include <doctest/doctest.h>

#include <string>

#include <mnemo/memory/allocator.h>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

TEST_CASE("a snapshot shows segments by position and the blocks that tile them") {
  VirtualDevice device;
  const OpScope op("relu");
  Block* a = device.malloc(3 * MiB, 2);
  Block* b = device.malloc(600);
  device.malloc(5 * MiB, 2);
  device.allocator.record_stream(a, 1);
  device.free(a);
  const std::vector<SegmentView> segments = device.allocator.snapshot();
  REQUIRE(segments.size() == 2);
  CHECK(segments[0].position == 0);
  CHECK(segments[0].size == 20 * MiB);
  CHECK(segments[0].stream == 2);
  CHECK(!segments[0].small_pool);
  CHECK(!segments[0].expandable);
  REQUIRE(segments[0].blocks.size() == 3);
  CHECK(segments[0].blocks[0].state == BlockView::State::pending_free);
  CHECK(segments[0].blocks[0].requested == 3 * MiB);
  CHECK(segments[0].blocks[1].state == BlockView::State::active);
  CHECK(segments[0].blocks[1].position == 3 * MiB);
  CHECK(std::string(segments[0].blocks[1].tag.op) == "relu");
  CHECK(segments[0].blocks[2].state == BlockView::State::inactive);
  CHECK(segments[0].blocks[2].requested == 0);
  CHECK(segments[0].blocks[2].size == 12 * MiB);
  CHECK(segments[1].position == 20 * MiB);
  CHECK(segments[1].small_pool);
  CHECK(segments[1].blocks[0].requested == 600);
  CHECK(segments[1].blocks[0].size == 1024);
  device.free(b);
}

TEST_CASE("each mapped stretch of an expandable range is a segment of its own") {
  VirtualDevice device("expandable_segments:True", GiB);
  device.malloc(15 * MiB);
  Block* hole = device.malloc(45 * MiB);
  device.malloc(5 * MiB);
  CHECK(device.allocator.snapshot().size() == 1);
  device.free(hole);
  device.allocator.empty_cache();  // pages 1 and 2 go
  const std::vector<SegmentView> segments = device.allocator.snapshot();
  REQUIRE(segments.size() == 2);
  CHECK(segments[0].expandable);
  CHECK(segments[0].size == 20 * MiB);
  CHECK(segments[0].blocks.size() == 2);
  CHECK(segments[1].position == 60 * MiB);
  CHECK(segments[1].size == 20 * MiB);
  CHECK(segments[1].blocks.size() == 2);
}

}  // namespace
}  // namespace mnemo::memory
