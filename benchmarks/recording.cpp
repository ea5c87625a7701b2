// What recording costs per event, against not recording, and how fast a recording is read and walked.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <ostream>
#include <streambuf>
#include <string>

#include <mnemo/memory/chrome_trace.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>

namespace {

using namespace mnemo::memory;

std::string file_path() { return (std::filesystem::temp_directory_path() / "mnemo-bench-recording").string(); }

/// Something like a training step: blocks of many sizes, ops and modules, freed in the order that backward frees them.
/// Seven events for each: it is made, saved, and freed (two events), and so is, but for saving, a temporary.
void step(CachingAllocator& allocator, std::int64_t number) {
  static constexpr int kBlocks = 64;
  static const char* const ops[] = {"conv2d", "batch_norm", "relu", "add"};
  const StepScope step_scope(number);
  Block* blocks[kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    const OpScope op(ops[i % 4]);
    const ModuleScope module(intern(std::string("layer.") + static_cast<char>('0' + i % 10)));
    const CategoryScope category(Category::live_activation);
    blocks[i] = allocator.malloc(1000 + 70'000 * (i % 13));
    allocator.retag(blocks[i], Category::saved_activation);
  }
  const PhaseScope phase(Phase::backward);
  for (int i = kBlocks; i-- > 0;) {
    const OpScope op(ops[i % 4]);
    Block* temporary = allocator.malloc(1000 + 70'000 * (i % 13));
    allocator.free(blocks[i]);
    allocator.free(temporary);
  }
}

/// Runs steps with `recorder` alive and counts their events.
void run(benchmark::State& state, CachingAllocator& allocator, const Recorder& recorder) {
  std::int64_t number = 0;
  for (auto _ : state) step(allocator, ++number);
  state.counters["per_event"] = benchmark::Counter(static_cast<double>(recorder.events()),
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void not_recorded(benchmark::State& state) {
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  std::int64_t number = 0;
  for (auto _ : state) step(allocator, ++number);
}
BENCHMARK(not_recorded);

/// A listener that does nothing: what the allocator itself spends on telling.
void listened(benchmark::State& state) {
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  std::int64_t events = 0;
  const auto subscription = allocator.subscribe([&](const Event&) { ++events; });
  std::int64_t number = 0;
  for (auto _ : state) step(allocator, ++number);
}
BENCHMARK(listened);

void recorded_to_file(benchmark::State& state) {
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  {
    Recorder recorder = record(allocator, file_path(), {.timed = state.range(0) != 0});
    run(state, allocator, recorder);
    const auto events = static_cast<double>(recorder.events());
    recorder.stop();
    state.counters["bytes_per_event"] = static_cast<double>(std::filesystem::file_size(file_path())) / events;
  }
  std::remove(file_path().c_str());
}
BENCHMARK(recorded_to_file)->ArgName("timed")->Arg(0)->Arg(1);

void recorded_to_ring(benchmark::State& state) {
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  const Recorder recorder = record(allocator, Ring{.events = state.range(0)});
  run(state, allocator, recorder);
}
BENCHMARK(recorded_to_ring)->ArgName("events")->Arg(10'000)->Arg(1'000'000);

/// A million events, in memory.
const Recording& million() {
  static const Recording recording = [] {
    CachingAllocator allocator(std::make_unique<VirtualSource>());
    const Recorder recorder = record(allocator, Ring{.events = 2'000'000});
    for (std::int64_t number = 0; recorder.events() < 1'000'000;) step(allocator, ++number);
    return recorder.recording();
  }();
  return recording;
}

void walk_a_million(benchmark::State& state) {
  million();
  for (auto _ : state) {
    Timeline timeline(million());
    while (timeline.next()) {
    }
    benchmark::DoNotOptimize(timeline.allocated());
  }
}
BENCHMARK(walk_a_million)->Unit(benchmark::kMillisecond);

/// Takes everything and keeps nothing.
struct Nowhere : std::streambuf {
  std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
  int overflow(int c) override { return c; }
};

void export_a_million(benchmark::State& state, void (*write)(const Recording&, std::ostream&)) {
  million();
  Nowhere nowhere;
  std::ostream out(&nowhere);
  for (auto _ : state) write(million(), out);
}
BENCHMARK_CAPTURE(export_a_million, memory_viz, write_memory_viz)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(export_a_million, chrome_trace, write_chrome_trace)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
