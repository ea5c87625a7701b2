// Rounding, pools, best fit, splitting: the cases of the rules with their numbers.
#include <doctest/doctest.h>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/rounding.h>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

void check_totals(const VirtualDevice& device, Bytes allocated, Bytes reserved, Bytes inactive_split) {
  CHECK(device.allocated() == allocated);
  CHECK(device.reserved() == reserved);
  CHECK(device.inactive_split() == inactive_split);
}

TEST_CASE("requests are rounded to multiples of 512") {
  const AllocatorConfig plain;
  CHECK(round_request(1, plain) == 512);
  CHECK(round_request(511, plain) == 512);
  CHECK(round_request(512, plain) == 512);
  CHECK(round_request(513, plain) == 1024);
  CHECK(round_request(10 * MiB - 511, plain) == 10 * MiB);
  CHECK(round_request(10 * MiB - 512, plain) == 10 * MiB - 512);
}

TEST_CASE("power-of-two divisions round to a part of the power below") {
  const AllocatorConfig four = AllocatorConfig::parse("roundup_power2_divisions:4");
  CHECK(round_request(100, four) == 512);
  CHECK(round_request(1200, four) == 1536);  // not above 512 * 4
  CHECK(round_request(2048, four) == 2048);
  CHECK(round_request(2049, four) == 2560);
  CHECK(round_request(3000, four) == 3072);
  CHECK(round_request(1200 * KiB, four) == 1280 * KiB);
  CHECK(round_request(5 * MiB + 1, four) == 6 * MiB);
  CHECK(round_request(84 * MiB, four) == 96 * MiB);
  CHECK(round_request(64 * MiB, four) == 64 * MiB);
  const AllocatorConfig eight = AllocatorConfig::parse("roundup_power2_divisions:8");
  CHECK(round_request(4097, eight) == 4608);
  CHECK(round_request(84 * MiB, eight) == 88 * MiB);
  CHECK(round_request(5000, AllocatorConfig::parse("roundup_power2_divisions:1")) == 5120);
}

TEST_CASE("divisions are looked up by the power of two of the raw size") {
  // Entries: below 2 MiB 2, 2 MiB 4, 4 MiB 8, above 0; from 32 GiB on 2.
  AllocatorConfig config = AllocatorConfig::parse("roundup_power2_divisions:[1:2,2:4,4:8,32768:2]");
  CHECK(round_request(5000, config) == 6144);                        // 4096 / 2
  CHECK(round_request(2 * MiB - 1, config) == 2 * MiB);              // entry 0
  CHECK(round_request(2 * MiB + 1, config) == 2 * MiB + 512 * KiB);  // entry 1: 2 MiB / 4
  CHECK(round_request(4 * MiB + 1, config) == 4 * MiB + 512 * KiB);  // entry 2: 4 MiB / 8
  CHECK(round_request(8 * MiB + 1, config) == 8 * MiB + 512);        // entry 3: off
  CHECK(round_request(33 * GiB, config) == 48 * GiB);                // entry 15
  CHECK(round_request(130 * GiB, config) == 192 * GiB);              // also entry 15
}

TEST_CASE("segment sizes follow the rounded size") {
  const AllocatorConfig plain;
  CHECK(segment_bytes(512, plain) == 2 * MiB);
  CHECK(segment_bytes(MiB, plain) == 2 * MiB);
  CHECK(segment_bytes(MiB + 512, plain) == 20 * MiB);
  CHECK(segment_bytes(10 * MiB - 512, plain) == 20 * MiB);
  CHECK(segment_bytes(10 * MiB, plain) == 10 * MiB);
  CHECK(segment_bytes(10 * MiB + 512, plain) == 12 * MiB);
  CHECK(segment_bytes(19 * MiB, plain) == 20 * MiB);
  const AllocatorConfig large = AllocatorConfig::parse("large_segment_size_mb:40");
  CHECK(segment_bytes(MiB + 512, large) == 40 * MiB);
  CHECK(segment_bytes(10 * MiB, large) == 10 * MiB);  // the bound stays 10 MiB
  CHECK(segment_bytes(512, large) == 2 * MiB);
}

TEST_CASE("no bytes give no block and touch no statistic") {
  VirtualDevice device;
  CHECK(device.malloc(0) == nullptr);
  device.free(nullptr);
  check_totals(device, 0, 0, 0);
  CHECK(device.allocator.statistics().allocation.all.allocated == 0);
}

TEST_CASE("first requests: blocks, segments and what is left over") {
  struct Row {
    Bytes request, allocated, reserved, inactive_split;
  };
  for (const Row& row :
       {Row{1, 512, 2'097'152, 2'096'640}, Row{MiB + 1, 1'049'088, 20'971'520, 19'922'432},
        Row{10 * MiB - 512, 10'485'248, 20'971'520, 10'486'272}, Row{10 * MiB, 10'485'760, 10'485'760, 0},
        Row{10 * MiB - 511, 10'485'760, 10'485'760, 0}, Row{10 * MiB + 1, 10'486'272, 12'582'912, 2'096'640},
        Row{19 * MiB, 20'971'520, 20'971'520, 0}}) {
    CAPTURE(row.request);
    VirtualDevice device;
    Block* block = device.malloc(row.request);
    CHECK(block->requested == row.request);
    CHECK(block->size == row.allocated);
    check_totals(device, row.allocated, row.reserved, row.inactive_split);
    device.free(block);
    check_totals(device, 0, row.reserved, 0);
  }
}

TEST_CASE("two halves fill a small segment") {
  VirtualDevice device;
  device.malloc(MiB);
  check_totals(device, MiB, 2 * MiB, MiB);
  device.malloc(MiB);
  check_totals(device, 2'097'152, 2'097'152, 0);
}

TEST_CASE("a large block is split only when more than 1 MiB would be left") {
  VirtualDevice device;
  device.free(device.malloc(20 * MiB));
  Block* block = device.malloc(19 * MiB - 512);
  check_totals(device, 19'922'432, 20'971'520, 1'049'088);
  device.free(block);
  device.malloc(19 * MiB);
  check_totals(device, 20'971'520, 20'971'520, 0);
}

TEST_CASE("a small block is split when at least 512 bytes are left") {
  VirtualDevice device;
  Block* most = device.malloc(MiB);
  Block* rest = device.malloc(MiB - 512);
  check_totals(device, 2 * MiB - 512, 2 * MiB, 512);
  device.malloc(1);
  check_totals(device, 2 * MiB, 2 * MiB, 0);
  device.free(most);
  device.free(rest);
  check_totals(device, 512, 2 * MiB, 2 * MiB - 512);
}

TEST_CASE("the front of a block is handed out") {
  VirtualDevice device;
  const Block* first = device.malloc(512);
  const Block* second = device.malloc(512);
  CHECK(first->position == 0);
  CHECK(second->position == 512);
  CHECK(second->data == first->data + 512);
  CHECK(second->previous == first);
}

TEST_CASE("streams do not share blocks") {
  VirtualDevice device;
  device.free(device.malloc(20 * MiB, 1));
  device.malloc(20 * MiB, 2);
  check_totals(device, 20'971'520, 41'943'040, 0);
}

TEST_CASE("small and large requests do not share segments") {
  VirtualDevice device;
  device.free(device.malloc(20 * MiB));
  device.malloc(512);
  check_totals(device, 512, 22 * MiB, 2 * MiB - 512);
}

TEST_CASE("the smallest block that is large enough is taken; of equal ones that of the older segment") {
  VirtualDevice device;
  Block* large = device.malloc(40 * MiB);
  Block* first = device.malloc(30 * MiB);
  Block* second = device.malloc(30 * MiB);
  const std::uint64_t first_position = first->position;
  const std::uint64_t second_position = second->position;
  device.free(second);
  device.free(large);
  device.free(first);
  CHECK(device.malloc(30 * MiB - 512)->position == first_position);
  CHECK(device.malloc(30 * MiB)->position == second_position);
  CHECK(device.malloc(30 * MiB)->position == 0);  // only the 40 MiB are left
}

TEST_CASE("positions lay the segments end to end") {
  VirtualDevice device;
  CHECK(device.malloc(20 * MiB)->position == 0);
  CHECK(device.malloc(1)->position == 20 * MiB);
  CHECK(device.malloc(10 * MiB)->position == 22 * MiB);
}

TEST_CASE("oversize blocks are not given to normal requests") {
  VirtualDevice device("max_split_size_mb:100");
  device.free(device.malloc(200 * MiB));
  device.malloc(50 * MiB);
  check_totals(device, 52'428'800, 262'144'000, 0);
}

TEST_CASE("an oversize block is reused whole, with less than the allowed slack") {
  SUBCASE("19 MiB of slack") {
    VirtualDevice device("max_split_size_mb:100");
    device.free(device.malloc(200 * MiB));
    device.malloc(181 * MiB);
    check_totals(device, 209'715'200, 209'715'200, 0);
  }
  SUBCASE("20 MiB of slack are too much") {
    VirtualDevice device("max_split_size_mb:100");
    device.free(device.malloc(200 * MiB));
    device.malloc(180 * MiB);
    check_totals(device, 188'743'680, 398'458'880, 0);
  }
  SUBCASE("the slack is an option") {
    VirtualDevice device("max_split_size_mb:100,max_non_split_rounding_mb:21");
    device.free(device.malloc(200 * MiB));
    device.malloc(180 * MiB);
    check_totals(device, 209'715'200, 209'715'200, 0);
  }
}

TEST_CASE("only the best fit is looked at: if it is oversize, a better suited one behind it is not found") {
  // 110 and 130 MiB are free; the best fit for 100 MiB is 110 MiB, within the slack of 20: taken, and so on.
  VirtualDevice device("max_split_size_mb:100,max_non_split_rounding_mb:5");
  Block* a = device.malloc(110 * MiB);
  Block* b = device.malloc(130 * MiB);
  device.free(a);
  device.free(b);
  device.malloc(106 * MiB);
  CHECK(device.reserved() == 240 * MiB);
  device.malloc(108 * MiB);  // the candidate is the 130 MiB block
  CHECK(device.reserved() == 348 * MiB);
}

TEST_CASE("a request of at least the maximum split size is never split") {
  VirtualDevice device("max_split_size_mb:100");
  device.free(device.malloc(110 * MiB));
  Block* block = device.malloc(100 * MiB);
  CHECK(block->size == 110 * MiB);
  const Statistics s = device.allocator.statistics();
  CHECK(s.oversize_allocations.current == 1);
  CHECK(s.oversize_allocations.allocated == 2);
  CHECK(s.oversize_segments.current == 1);
}

TEST_CASE("new options apply to later requests") {
  VirtualDevice device;
  device.free(device.malloc(200 * MiB));
  device.allocator.configure(AllocatorConfig::parse("max_split_size_mb:100"));
  Block* block = device.malloc(50 * MiB);
  CHECK(device.reserved() == 250 * MiB);
  device.free(block);
  device.allocator.configure({});
  CHECK(device.malloc(150 * MiB)->size == 150 * MiB);
  CHECK(device.reserved() == 250 * MiB);
}

}  // namespace
}  // namespace mnemo::memory
