// What recording costs per event, against not recording, and how fast a recording is read and walked.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <ostream>
#include <streambuf>
#include <string>
#include <vector>

#include <mnemo/memory/chrome_trace.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>

#include "training/recorded_run.h"

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

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// What recording adds to training steps of resnet18 at batch 1, on two devices of the same kind: the one records to a
/// file, the other one was never listened to. They take turns of `steps`, so that a busy machine is as busy for both; the
/// median turn says what a step takes of the processor's time, its share of writing included.
void resnet18(benchmark::State& state, const char* device, int steps) {
  using namespace mnemo;
  const models::Spec& spec = *models::find_spec("resnet18");
  const Device plain = Device::open(device), recorded = Device::open(device);
  const auto trainer = [&](const Device& where) {
    const DeviceScope on_device(where);
    return training::Trainer(spec, {});
  };
  training::Trainer trainers[] = {trainer(plain), trainer(recorded)};
  Recorder recorder = record(recorded.allocator(), file_path());
  std::vector<double> seconds[2];
  const auto step = [&](std::size_t which) {
    const DeviceScope on_device(which == 0 ? plain : recorded);
    const double begin = processor_seconds();
    for (int i = 0; i < steps; ++i) trainers[which].step(1, spec.size);
    seconds[which].push_back((processor_seconds() - begin) / steps);
  };
  for (std::size_t which : {0, 1}) step(which);  // plans, and texts seen for the first time
  for (auto& list : seconds) list.clear();
  const std::int64_t before = recorder.events();
  std::size_t first = 0;
  for (auto _ : state) {
    step(first);
    step(1 - first);
    first = 1 - first;
  }
  const double events = static_cast<double>(recorder.events() - before) / static_cast<double>(seconds[1].size()) / steps;
  const double cost = median(seconds[1]) - median(seconds[0]);
  state.counters["step_us"] = 1e6 * median(seconds[0]);
  state.counters["recording_us"] = 1e6 * cost;
  state.counters["percent"] = 100 * cost / median(seconds[0]);
  state.counters["events"] = events;
  state.counters["ns_per_event"] = 1e9 * cost / events;
  recorder.stop();
  std::remove(file_path().c_str());
}
BENCHMARK_CAPTURE(resnet18, virtual, "virtual:h200", 20)->Unit(benchmark::kMillisecond)->Iterations(150);
BENCHMARK_CAPTURE(resnet18, cpu, "cpu", 1)->Unit(benchmark::kMillisecond)->Iterations(20);

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
