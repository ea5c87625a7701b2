// Eight threads on one allocator of real memory: nobody ever sees another one's bytes.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <mnemo/memory/allocator.h>

namespace mnemo::memory {
namespace {

void stress(CachingAllocator& allocator, int thread, int operations, std::atomic<int>& errors, std::atomic<int>& ooms) {
  const CategoryScope category(static_cast<Category>(thread));
  std::mt19937 random(static_cast<unsigned>(thread) + 1);
  struct Held {
    Block* block;
    unsigned char pattern;
  };
  std::vector<Held> held;
  // Both ends and a few places between: filling whole megabytes would only test memset.
  const auto places = [](const Block* block) {
    return std::vector<Bytes>{0, block->size / 3, block->size / 2, block->size - 64};
  };
  const auto release = [&](std::size_t i) {
    for (const Bytes place : places(held[i].block)) {
      for (Bytes b = place; b < place + 64; ++b)
        errors += held[i].block->data[b] != static_cast<std::byte>(held[i].pattern);
    }
    allocator.free(held[i].block);
    held[i] = held.back();
    held.pop_back();
  };
  for (int i = 0; i < operations; ++i) {
    if (held.size() > 8 || (!held.empty() && random() % 3 == 0)) {
      release(random() % held.size());
      continue;
    }
    const Bytes most = random() % 4 == 0 ? 6 * MiB : 64 * KiB;
    const StreamId stream = static_cast<StreamId>(random() % 3);
    try {
      Block* block = allocator.malloc(1 + static_cast<Bytes>(random()) % most, stream);
      const auto pattern = static_cast<unsigned char>(random());
      for (const Bytes place : places(block)) std::memset(block->data + place, pattern, 64);
      if (random() % 4 == 0) allocator.record_stream(block, stream + 1);
      if (random() % 4 == 0) allocator.retag(block, Category::temporary);
      held.push_back({block, pattern});
    } catch (const OutOfMemory& error) {
      ++ooms;
      errors += error.details().requested <= 0;
    }
    if (random() % 512 == 0) allocator.empty_cache();
    if (random() % 64 == 0) {
      const Statistics s = allocator.statistics();
      errors += s.allocated_bytes.all.current > s.reserved_bytes.all.current;
      Bytes free = 0;
      if (random() % 8 == 0) {
        for (const SegmentView& segment : allocator.snapshot()) free += segment.size;
        errors += free < 0;
      }
    }
  }
  while (!held.empty()) release(held.size() - 1);
}

TEST_CASE("eight threads share an allocator") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:20,roundup_power2_divisions:4"}) {
    CAPTURE(options);
    // Tight enough to run out now and then.
    CachingAllocator allocator(make_host_source(140 * MiB), AllocatorConfig::parse(options), "cpu");
    std::atomic<Bytes> outstanding = 0;
    std::atomic<int> events = 0;
    const auto subscription = allocator.subscribe([&](const Event& event) {
      ++events;
      if (event.kind == EventKind::alloc) outstanding += event.size;
      if (event.kind == EventKind::free_requested) outstanding -= event.size;
    });
    std::atomic<int> errors = 0;
    std::atomic<int> ooms = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&, i] { stress(allocator, i, 3000, errors, ooms); });
    for (std::thread& thread : threads) thread.join();
    CHECK(errors == 0);
    CHECK(events > 8 * 3000);
    CHECK(outstanding == 0);
    CHECK(allocator.allocated() == 0);
    CHECK(allocator.categories() == CategoryBytes{});
    allocator.empty_cache();
    CHECK(allocator.reserved() == 0);
    CHECK(allocator.statistics().num_ooms == ooms);
  }
}

}  // namespace
}  // namespace mnemo::memory
