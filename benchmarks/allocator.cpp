// What a malloc and free pair costs when the cache can serve it, with the system's malloc beside it.
#include <cstdlib>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include <mnemo/memory/allocator.h>

namespace {

using namespace mnemo::memory;

/// An allocator that holds `fragments` free blocks of different sizes in each pool, kept apart by live ones.
std::unique_ptr<CachingAllocator> make_allocator(std::int64_t fragments) {
  auto allocator = std::make_unique<CachingAllocator>(std::make_unique<VirtualSource>());
  for (const Bytes step : {512 * Bytes{1}, 4 * KiB}) {
    const Bytes least = step == 512 ? 512 : MiB + 512;
    std::vector<Block*> holes;
    for (std::int64_t i = 0; i < fragments; ++i) {
      holes.push_back(allocator->malloc(least + step * (i % 1024)));
      allocator->malloc(least);  // stays, so that its neighbours cannot merge
    }
    for (Block* block : holes) allocator->free(block);
  }
  return allocator;
}

void pair(benchmark::State& state, CachingAllocator& allocator) {
  const Bytes bytes = state.range(0);
  allocator.free(allocator.malloc(bytes));
  for (auto _ : state) {
    Block* block = allocator.malloc(bytes);
    benchmark::DoNotOptimize(block);
    allocator.free(block);
  }
}

void cache_hit(benchmark::State& state) {
  const auto allocator = make_allocator(0);
  // The segment around the block is taken, so that the pair neither splits nor merges.
  Block* block = allocator->malloc(state.range(0));
  std::vector<Block*> rest;
  const Bytes rounded = round_up(state.range(0), 512);
  if (rounded < 10 * MiB) {
    while (allocator->reserved() - allocator->allocated() >= rounded) rest.push_back(allocator->malloc(rounded));
  }
  allocator->free(block);
  pair(state, *allocator);
}

void cache_hit_with_split(benchmark::State& state) {
  const auto allocator = make_allocator(0);
  pair(state, *allocator);
}

void cache_hit_fragmented(benchmark::State& state) {
  const auto allocator = make_allocator(state.range(1));
  pair(state, *allocator);
}

void cache_hit_with_listener(benchmark::State& state) {
  const auto allocator = make_allocator(0);
  Bytes seen = 0;
  const auto subscription = allocator->subscribe([&](const Event& event) { seen += event.size; });
  pair(state, *allocator);
  benchmark::DoNotOptimize(seen);
}

void system_malloc(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    void* data = std::malloc(bytes);
    benchmark::DoNotOptimize(data);
    std::free(data);
  }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const Bytes bytes : {Bytes{512}, 64 * KiB, 1 * MiB, 2 * MiB, 64 * MiB}) benchmark->Arg(bytes);
}

void fragments(benchmark::internal::Benchmark* benchmark) {
  for (const Bytes bytes : {Bytes{512}, 64 * KiB, 2 * MiB}) {
    for (const std::int64_t count : {100, 1'000, 10'000}) benchmark->Args({bytes, count});
  }
}

BENCHMARK(cache_hit)->Apply(sizes);
BENCHMARK(cache_hit_with_split)->Apply(sizes);
BENCHMARK(cache_hit_fragmented)->Apply(fragments);
BENCHMARK(cache_hit_with_listener)->Apply(sizes);
BENCHMARK(system_malloc)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
