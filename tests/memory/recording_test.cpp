// Recordings: what is written is what happened, also when it began late, was cut off, or lives in a ring.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

/// A file that goes with the test.
struct TemporaryFile {
  TemporaryFolder folder = {};
  std::string path = folder / "recording";
};

/// One step in the life of an allocator: events of every kind.
void live(VirtualDevice& device) {
  const StepScope step(7);
  const ModuleScope module("encoder.0");
  const PhaseScope phase(Phase::backward);
  const OpScope op("conv3d");
  device.allocator.marker("step 7");
  Block* block = device.malloc(20 * MiB - 100, 4);
  device.allocator.retag(block, {Category::saved_activation, Phase::forward, "relu", "", -3});
  device.allocator.record_stream(block, 5);
  device.free(block);
  device.free(device.malloc(700));
  CHECK_THROWS_AS(device.malloc(110 * MiB), OutOfMemory);
}

TEST_CASE("a recording holds every field of every event") {
  TemporaryFile file;
  VirtualDevice device("max_split_size_mb:40", 100 * MiB);
  std::vector<Event> events;
  const auto subscription = device.allocator.subscribe([&](const Event& event) { events.push_back(event); });
  Recorder recorder =
      record(device.allocator, file.path,
             {.device = "virtual:100MiB", .context = 3 * MiB, .metadata = {{"batch", "8"}, {"", "\n"}}});
  live(device);
  CHECK(recorder.events() == static_cast<std::int64_t>(events.size()));
  recorder.stop();
  live(device);  // no longer recorded
  recorder.stop();

  const Recording recording = Recording::read(file.path);
  CHECK(recording.header().device == "virtual:100MiB");
  CHECK(recording.header().capacity == 100 * MiB);
  CHECK(recording.header().context == 3 * MiB);
  CHECK(AllocatorConfig::parse(recording.header().allocator).max_split_size == 40 * MiB);
  CHECK(!recording.header().timed);
  REQUIRE(recording.header().metadata.size() == 3);
  CHECK(recording.header().metadata[0] == std::pair<std::string, std::string>("batch", "8"));
  CHECK(recording.header().metadata[1] == std::pair<std::string, std::string>("", "\n"));
  CHECK(recording.header().metadata[2].first == "version");
  // As in project(mnemo VERSION ...).
  CHECK(std::count(recording.header().metadata[2].second.begin(), recording.header().metadata[2].second.end(), '.') ==
        2);
  CHECK(!recording.truncated());
  CHECK(recording.dropped() == 0);

  const std::vector<Event> read = recording.events();
  REQUIRE(read.size() * 2 == events.size());
  for (std::size_t i = 0; i < read.size(); ++i) CHECK(text(read[i]) == text(events[i]));
  CHECK(recording.peak().bytes == 20 * MiB);
  CHECK(recording.peak().categories[static_cast<std::size_t>(Category::other)] == 20 * MiB);
  CHECK(read[static_cast<std::size_t>(recording.peak().event)].kind == EventKind::alloc);
  CHECK(recording.peak_reserved().bytes == 22 * MiB);
}

TEST_CASE("after every event of a random workload the recorded sums are the allocator's") {
  for (const char* options :
       {"", "expandable_segments:True", "max_split_size_mb:20,garbage_collection_threshold:0.6"}) {
    for (const Bytes capacity : {Bytes{0}, 150 * MiB}) {
      for (const bool late : {false, true}) {
        CAPTURE(options);
        CAPTURE(capacity);
        CAPTURE(late);
        TemporaryFile file;
        RecordedWorkload workload(options, capacity);
        if (late) workload.run(2000);
        {
          const Recorder recorder = record(workload.allocator(), file.path);
          workload.begin_watching();
          workload.run(3000);
        }
        const Recording recording = Recording::read(file.path);
        CHECK(workload.difference(recording) == "");
        CHECK(recording.dropped() == 0);
      }
    }
  }
}

TEST_CASE("a ring keeps the latest events, and its sums still reconcile") {
  for (const std::int64_t most : {1, 2, 15, 16, 100, 3000, 100'000}) {
    CAPTURE(most);
    RecordedWorkload workload("expandable_segments:True", 150 * MiB);
    workload.run(500);
    Recorder recorder = record(workload.allocator(), Ring{.events = most});
    workload.begin_watching();
    for (int round = 0; round < 5; ++round) {
      workload.run(500);
      const Recording recording = recorder.recording();
      CHECK(recording.size() <= most);
      CHECK(recording.size() >= std::min(most - most / 8, recorder.events()));
      CHECK(recording.dropped() + recording.size() == recorder.events());
      CHECK(workload.difference(recording) == "");
    }
    recorder.stop();
    workload.run(10);
    TemporaryFile file;
    recorder.save(file.path);
    CHECK(Recording::read(file.path).size() == recorder.recording().size());
  }
  VirtualDevice device;
  CHECK_THROWS_AS(static_cast<void>(record(device.allocator, Ring{.events = 0})), ConfigError);
}

TEST_CASE("a walk goes back as well as forth") {
  RecordedWorkload workload("", 150 * MiB);
  Recorder recorder = record(workload.allocator(), Ring{});
  workload.begin_watching();
  workload.run(1000);
  const Recording recording = recorder.recording();
  const std::vector<Event> events = recording.events();
  Timeline timeline(recording);
  CHECK(timeline.index() == -1);
  for (const std::int64_t index : {700, 100, -1, 5, 5, 0}) {
    timeline.seek(index);
    CHECK(timeline.index() == index);
    CHECK(timeline.time() == index);
    if (index >= 0) CHECK(text(timeline.event()) == text(events[static_cast<std::size_t>(index)]));
  }
  timeline.seek(recording.peak().event);
  CHECK(timeline.allocated() == recording.peak().bytes);
  CHECK(timeline.categories() == recording.peak().categories);
  timeline.seek(1 << 30);
  CHECK(timeline.index() == recording.size() - 1);
  CHECK(!timeline.next());
  Bytes held = 0;
  for (const auto& [position, block] : timeline.state().blocks()) held += block.waiting ? 0 : block.size;
  CHECK(held == timeline.allocated());
}

TEST_CASE("events can carry their time") {
  TemporaryFile file;
  VirtualDevice device;
  device.malloc(5);
  {
    const Recorder recorder = record(device.allocator, file.path, {.timed = true});
    device.malloc(512);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    device.malloc(512);
  }
  const Recording recording = Recording::read(file.path);
  CHECK(recording.header().timed);
  Timeline timeline(recording);
  timeline.seek(0);
  const std::int64_t first = timeline.time();
  timeline.seek(1);
  CHECK(timeline.time() - first >= 3000);
}

TEST_CASE("threads that allocate meanwhile are recorded from a consistent state on") {
  CachingAllocator allocator(make_host_source(), {}, "cpu");
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (Block* held = nullptr; !stop;) {
        Block* block = allocator.malloc(1000 * (i + 1));
        allocator.free(std::exchange(held, block));
        if (stop) allocator.free(held);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    Recorder recorder = record(allocator, Ring{.events = 1000});
    while (recorder.events() < 2000) std::this_thread::yield();
    CHECK_NOTHROW(recorder.recording());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_CASE("a recorder may outlive its allocator, and moves") {
  auto device = std::make_unique<VirtualDevice>();
  Recorder first = record(device->allocator, Ring{});
  Recorder second = std::move(first);
  device->malloc(512);
  device.reset();
  CHECK(second.recording().size() == 2);
}

TEST_CASE("a recording that cannot be written says so and disturbs nothing") {
  VirtualDevice device;
  CHECK_THROWS_AS(static_cast<void>(record(device.allocator, "/nonexistent/folder/file")), FileError);
  if (!std::filesystem::exists("/dev/full")) return;
  device.free(device.malloc(512));
  CHECK_THROWS_AS(static_cast<void>(record(device.allocator, "/dev/full")), FileError);
  device.free(device.malloc(512));
  const Recorder recorder = record(device.allocator, Ring{});
  CHECK_THROWS_AS(recorder.save("/dev/full"), FileError);
}

}  // namespace
}  // namespace mnemo::memory
