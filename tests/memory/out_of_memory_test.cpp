#include <doctest/doctest.h>

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <mnemo/memory/allocator.h>

namespace mnemo::memory {
namespace {

/// The error of a request that must fail.
OutOfMemory failure(CachingAllocator& allocator, Bytes bytes, StreamId stream = 0) {
  try {
    allocator.malloc(bytes, stream);
  } catch (const std::bad_alloc& error) {
    return dynamic_cast<const OutOfMemory&>(error);
  }
  throw std::logic_error("the request did not fail");
}

bool contains(const OutOfMemory& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

TEST_CASE("the error says what was asked, what there is, who holds it, and what to do") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB), {}, "virtual:100MiB");
  const PhaseScope phase(Phase::forward);
  const StepScope step(12);
  {
    const CategoryScope category(Category::parameter);
    const ModuleScope module("head");
    const OpScope op("linear");
    allocator.malloc(10 * MiB);
  }
  {
    const CategoryScope category(Category::saved_activation);
    const ModuleScope module("encoder.1");
    for (const char* name : {"relu", "conv3d", "relu"}) {
      // Equal names from different places are one holder.
      const std::string copy(name);
      const OpScope op(intern(copy));
      allocator.malloc(22 * MiB);
    }
  }
  const OpScope op("conv3d");
  const ModuleScope module("encoder.2");
  const CategoryScope category(Category::workspace);
  const OutOfMemory error = failure(allocator, 30 * MiB - 5);

  const OutOfMemory::Details& d = error.details();
  CHECK(d.device == "virtual:100MiB");
  CHECK(d.requested == 30 * MiB - 5);
  CHECK(d.segment == 30 * MiB);
  CHECK(d.allocated == 76 * MiB);
  CHECK(d.reserved == 76 * MiB);
  CHECK(d.capacity == 100 * MiB);
  CHECK(d.free == 24 * MiB);
  CHECK(d.largest_free_block == 0);
  CHECK(d.fragmentation == 0);
  CHECK(d.tag.category == Category::workspace);
  CHECK(d.categories == allocator.categories());
  REQUIRE(d.top_holders.size() == 3);
  CHECK(std::string(d.top_holders[0].tag.op) == "relu");
  CHECK(d.top_holders[0].bytes == 44 * MiB);
  CHECK(std::string(d.top_holders[1].tag.op) == "conv3d");
  CHECK(d.top_holders[1].bytes == 22 * MiB);
  CHECK(std::string(d.top_holders[2].tag.module) == "head");
  CHECK(d.top_holders[2].bytes == 10 * MiB);

  for (const char* text :
       {"[conv3d] encoder.2: out of memory on virtual:100MiB: ", "requested 30.00 MiB (31457275 bytes)", "in forward",
        "segment of 30.00 MiB", "allocated 76.00 MiB", "reserved 76.00 MiB", "capacity 100.00 MiB", "free 24.00 MiB",
        "largest free block 0 bytes", "fragmentation 0.0 %", "saved_activation 66.00 MiB, parameter 10.00 MiB",
        "44.00 MiB saved_activation of relu in encoder.1 (forward, step 12)", "likely fix: saved activations",
        "checkpoint"}) {
    CAPTURE(text);
    CHECK(contains(error, text));
  }
}

TEST_CASE("at most five holders are named, the largest first") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(220 * MiB));
  for (int i = 1; i <= 7; ++i) {
    const StepScope step(i);
    allocator.malloc((10 + 2 * i) * MiB);
  }
  const OutOfMemory error = failure(allocator, 200 * MiB);
  REQUIRE(error.details().top_holders.size() == 5);
  CHECK(error.details().top_holders.front().tag.step == 7);
  CHECK(error.details().top_holders.back().tag.step == 3);
}

TEST_CASE("fragmentation: much is cached, in pieces") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB));
  allocator.free(allocator.malloc(100 * MiB));
  Block* a = allocator.malloc(30 * MiB);
  allocator.malloc(10 * MiB);
  Block* c = allocator.malloc(40 * MiB);
  allocator.free(a);
  allocator.free(c);  // 30 and, with the end, 60 MiB are free, around 10 that are not
  const OutOfMemory error = failure(allocator, 65 * MiB);
  CHECK(error.details().largest_free_block == 60 * MiB);
  CHECK(error.details().fragmentation == doctest::Approx(1.0 / 3));
  CHECK(contains(error, "fragmentation 33.3 %"));
  CHECK(contains(error, "90.00 MiB are cached, but in pieces"));
  // For another stream none of it counts as a free block.
  CHECK(failure(allocator, 65 * MiB, 1).details().largest_free_block == 0);
}

TEST_CASE("an error text without op and module begins with what happened") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(10 * MiB));
  const OutOfMemory error = failure(allocator, 20 * MiB);
  CHECK(std::string(error.what()).rfind("out of memory on device: ", 0) == 0);
  CHECK(contains(error, "this request alone is larger than the 10.00 MiB"));
}

TEST_CASE("a request that fits where its segment does not is not called too large") {
  // 5 MiB are taken from a segment of 20.
  CachingAllocator small(std::make_unique<VirtualSource>(10 * MiB));
  const OutOfMemory none = failure(small, 5 * MiB);
  CHECK(contains(none, "this request would fit into the 10.00 MiB that may be used, but not the segment of 20.00 MiB"));
  CHECK(contains(none, "or make its shapes smaller or work in pieces: up to 1.00 MiB come from segments of 2.00 MiB"));
  CHECK_FALSE(contains(none, "alone"));

  CachingAllocator full(std::make_unique<VirtualSource>(100 * MiB));
  {
    const CategoryScope category(Category::saved_activation);
    full.malloc(86 * MiB);
  }
  const OutOfMemory late = failure(full, 5 * MiB);
  CHECK(contains(
      late,
      "the 14.00 MiB that are free would hold this request, but not the segment of 20.00 MiB for it: "
      "large_segment_size_mb:11 in MNEMO_ALLOC_CONF makes such segments smaller; else: saved activations hold most"));
  full.configure(AllocatorConfig::parse("large_segment_size_mb:11"));
  full.malloc(5 * MiB);                                // which is true
  for (int i = 0; i < 10; ++i) small.malloc(1 * MiB);  // and this
  // Segments of their own are only rounded to 2 MiB.
  CachingAllocator odd(std::make_unique<VirtualSource>(15 * MiB));
  const OutOfMemory own = failure(odd, 15 * MiB);
  CHECK(contains(own, "would fit into the 15.00 MiB that may be used, but not the segment of 16.00 MiB for it: give"));
  CHECK_FALSE(contains(own, "or make"));
}

TEST_CASE("what the context takes cannot be used") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(1 * GiB, 600 * MiB));
  const OutOfMemory error = failure(allocator, 500 * MiB);
  CHECK(contains(error,
                 "this request alone is larger than the 424.00 MiB that may be used (capacity 1.00 GiB, context "
                 "600.00 MiB)"));
}

TEST_CASE("saved activations are not blamed where the request would not fit without them either") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB));
  allocator.malloc(20 * MiB);
  const CategoryScope saved(Category::saved_activation);
  allocator.malloc(30 * MiB);
  CHECK(contains(failure(allocator, 60 * MiB), "likely fix: saved activations hold most"));
  CHECK(
      contains(failure(allocator, 90 * MiB), "this request alone takes most of the 100.00 MiB that may be used: make"));
  const CategoryScope workspace(Category::workspace);
  CHECK(contains(failure(allocator, 90 * MiB), "choose an algorithm that needs less"));
}

TEST_CASE("checkpointing is proposed where saved activations and others together hold most") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB));
  const auto hold = [&](Category category, Bytes bytes) {
    const CategoryScope scope(category);
    allocator.malloc(bytes);
  };
  hold(Category::parameter, 30 * MiB);
  hold(Category::saved_activation, 30 * MiB);
  hold(Category::live_activation, 24 * MiB);
  CHECK(contains(failure(allocator, 40 * MiB),
                 "activations, saved ones more than others, hold most of the memory: use "
                 "checkpointing"));
  hold(Category::live_activation, 14 * MiB);
  CHECK(contains(failure(allocator, 40 * MiB), "activations hold most of the memory: use a smaller batch"));
}

TEST_CASE("an impossible size points at the shapes") {
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  const OutOfMemory error = failure(allocator, Bytes{1} << 60);
  CHECK(contains(error, "capacity unlimited, free unlimited"));
  CHECK(contains(error, "overflow"));
}

TEST_CASE("under a memory fraction the capacity is what may be used") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB),
                             AllocatorConfig::parse("per_process_memory_fraction:0.5"));
  allocator.malloc(30 * MiB);
  const OutOfMemory error = failure(allocator, 30 * MiB);
  CHECK(error.details().capacity == 50 * MiB);
  CHECK(error.details().free == 20 * MiB);
}

TEST_CASE("handlers are asked for room, the latest first, until one of them frees something or none does") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(100 * MiB), {}, "virtual:100MiB");
  Block* spare[] = {allocator.malloc(40 * MiB), allocator.malloc(40 * MiB)};
  std::string asked;
  const auto first = allocator.on_out_of_memory([&](const OutOfMemory::Details& details) {
    asked += '1';
    CHECK(details.requested == 90 * MiB);
    CHECK(details.reserved + details.free == 100 * MiB);
    for (Block*& block : spare) {
      if (block == nullptr) continue;
      allocator.free(std::exchange(block, nullptr));
      return true;
    }
    return false;
  });
  auto second = allocator.on_out_of_memory([&](const OutOfMemory::Details&) {
    asked += '2';
    return false;
  });
  Block* block = allocator.malloc(90 * MiB);
  CHECK(asked == "2121");
  CHECK(allocator.statistics().num_ooms == 0);
  allocator.free(block);

  // One that is gone is not asked; nobody has anything more; no room without asking is no failure either.
  second.reset();
  asked.clear();
  allocator.free(allocator.malloc(90 * MiB));
  CHECK(asked.empty());
  block = allocator.malloc(20 * MiB);
  CHECK(failure(allocator, 90 * MiB).details().allocated == 20 * MiB);
  CHECK(asked == "1");
  CHECK(allocator.statistics().num_ooms == 1);
  allocator.free(block);
}

TEST_CASE("what a handler throws goes to whoever asked, and nothing is lost") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(10 * MiB));
  const auto handler =
      allocator.on_out_of_memory([](const OutOfMemory::Details&) -> bool { throw std::runtime_error("stop"); });
  CHECK_THROWS_AS(allocator.malloc(20 * MiB), std::runtime_error);
  CHECK(allocator.allocated() == 0);
  CHECK(allocator.reserved() == 0);
}

TEST_CASE("injected failures: those requests and no others, cached memory or not") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(10 * MiB));
  bool asked = false;
  const auto handler = allocator.on_out_of_memory([&](const OutOfMemory::Details&) { return asked = true; });
  allocator.free(allocator.malloc(1000));
  allocator.inject_failures(2, 3);
  allocator.free(allocator.malloc(1000));
  for (int i = 0; i < 3; ++i) {
    const OutOfMemory error = failure(allocator, 1000);
    CHECK(error.details().injected);
    CHECK(contains(error, "inject_failures"));
  }
  allocator.free(allocator.malloc(1000));
  CHECK_FALSE(asked);
  CHECK(allocator.reserved() == 2 * MiB);

  allocator.inject_failures(1, 1'000'000);
  CHECK_THROWS_AS(allocator.malloc(1000), OutOfMemory);
  allocator.inject_failures(1, 0);
  allocator.free(allocator.malloc(1000));
}

TEST_CASE("a real shortage is called real, whatever happened to requests of its handlers") {
  CachingAllocator allocator(std::make_unique<VirtualSource>(10 * MiB));
  const auto handler = allocator.on_out_of_memory([&](const OutOfMemory::Details& details) {
    if (details.injected || details.requested != 20 * MiB) return false;
    allocator.inject_failures(1);
    CHECK(failure(allocator, 1000).details().injected);
    return false;
  });
  const OutOfMemory error = failure(allocator, 20 * MiB);
  CHECK_FALSE(error.details().injected);
  CHECK(contains(error, "this request alone is larger than the 10.00 MiB"));
}

}  // namespace
}  // namespace mnemo::memory
