// Calls read back from recordings: made again under the same options they lead to the same totals after each of them.
#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/recording_file.h>
#include <mnemo/memory/recording_writer.h>
#include <mnemo/memory/replay.h>
#include <nlohmann/json.hpp>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

/// The first call after which totals differ from those recorded; empty when none does.
std::string difference(const CallTrace& trace, const AllocatorConfig& config, Bytes capacity) {
  const ReplayResult result =
      replay(trace, {.config = config, .capacity = capacity, .rebuild_cache = true, .totals = true});
  if (result.before.allocated != trace.before.allocated || result.before.reserved != trace.before.reserved) {
    return fmt::format("begins with {} of {}, not {} of {}", result.before.allocated, result.before.reserved,
                       trace.before.allocated, trace.before.reserved);
  }
  if (result.events.size() != trace.totals.size()) return "another number of calls";
  for (std::size_t i = 0; i < trace.totals.size(); ++i) {
    const ReplayResult::Totals& now = result.events[i];
    const ReplayResult::Totals& then = trace.totals[i];
    if (now.allocated == then.allocated && now.reserved == then.reserved) continue;
    return fmt::format("call {} of {}, kind {}, {} bytes on {}: {} of {}, not {} of {}", i, trace.totals.size(),
                       static_cast<int>(trace.calls[i].kind), trace.calls[i].bytes, trace.calls[i].stream,
                       now.allocated, now.reserved, then.allocated, then.reserved);
  }
  return "";
}

constexpr const char* kOptions[] = {"",
                                    "expandable_segments:True",
                                    "max_split_size_mb:20",
                                    "roundup_power2_divisions:4",
                                    "large_segment_size_mb:32",
                                    "max_split_size_mb:32,roundup_power2_divisions:[1:2,16:8]"};

TEST_CASE("a random workload replayed under its own options has the recorded totals after every call") {
  for (const char* options : kOptions) {
    CAPTURE(std::string(options));
    RecordedWorkload workload(options, 0);
    const Recorder recorder = record(workload.allocator(), Ring{});
    workload.run(6000);
    const CallTrace trace = calls_of(recorder.recording());
    CHECK(trace.calls.size() > 3000);
    CHECK(difference(trace, AllocatorConfig::parse(options), 0) == "");
  }
}

TEST_CASE("so has one on a device that is often full, and one recorded from its middle") {
  for (const char* options : kOptions) {
    for (const int before : {0, 700}) {
      CAPTURE(std::string(options));
      CAPTURE(before);
      RecordedWorkload workload(options, 250 * MiB);
      workload.run(before);
      const Recorder recorder = record(workload.allocator(), Ring{});
      workload.run(4000);
      const CallTrace trace = calls_of(recorder.recording());
      // Free pieces of at most 1 MiB between large blocks of an expandable range cannot be made on purpose.
      if (before > 0 && AllocatorConfig::parse(options).expandable_segments) continue;
      CHECK(difference(trace, AllocatorConfig::parse(options), 250 * MiB) == "");
    }
  }
}

/// A trace entry or a block of a snapshot, as PyTorch writes them.
using Json = nlohmann::json;
constexpr std::int64_t kAt = 0x7f0000000000;

Json entry(const char* action, std::int64_t address, Bytes size, int pool = 0) {
  return {{"action", action}, {"addr", kAt + address},    {"size", size},        {"stream", 0},
          {"time_us", 7},     {"compile_context", "N/A"}, {"user_metadata", ""}, {"pool_id", {0, pool}}};
}

Json segment(std::int64_t address, Bytes size, Bytes used, Bytes requested, int pool = 0) {
  Json blocks = Json::array();
  const auto add = [&](std::int64_t at, Bytes bytes, Bytes asked, const char* state) {
    if (bytes == 0) return;
    blocks.push_back({{"address", kAt + at},
                      {"size", bytes},
                      {"requested_size", asked},
                      {"state", state},
                      {"frames", Json::array()}});
  };
  add(address, used, requested, "active_allocated");
  add(address + used, size - used, 0, "inactive");
  return {{"device", 0},
          {"address", kAt + address},
          {"total_size", size},
          {"stream", 0},
          {"frames", Json::array()},
          {"segment_pool_id", {0, pool}},
          {"is_expandable", false},
          {"blocks", blocks}};
}

CallTrace read(Json segments, Json trace) {
  const Json snapshot{{"segments", std::move(segments)},
                      {"device_traces", Json::array({std::move(trace), Json::array()})},
                      {"allocator_settings", {{"PYTORCH_CUDA_ALLOC_CONF", ""}, {"max_split_size", -1}}},
                      {"external_annotations", Json::array()}};
  return read_calls(snapshot.dump(), "snapshot");
}

TEST_CASE("a snapshot is replayed to the figures in it") {
  // By hand: 19 MiB take all of their segment; 3 MiB are split off one of 20 MiB, 5 MiB fit behind them.
  const CallTrace trace = read(
      {segment(32 * MiB, 20 * MiB, 3 * MiB, 3 * MiB - 5)},
      {entry("segment_alloc", 0, 20 * MiB), entry("alloc", 0, 19 * MiB), entry("segment_alloc", 32 * MiB, 20 * MiB),
       entry("alloc", 32 * MiB, 3 * MiB - 5), entry("alloc", 35 * MiB, 5 * MiB), entry("free_requested", 0, 19 * MiB),
       entry("free_completed", 0, 19 * MiB), entry("segment_free", 0, 20 * MiB),
       entry("free_requested", 35 * MiB, 5 * MiB), entry("free_completed", 35 * MiB, 5 * MiB)});
  CHECK(trace.imported);
  CHECK(difference(trace, {}, 0) == "");
  const ReplayResult result = replay(trace, {.totals = true});
  CHECK(result.peak_allocated == 28 * MiB);
  CHECK(result.peak_reserved == 40 * MiB);
  CHECK(result.events.back().allocated == 3 * MiB);
  CHECK(result.events.back().reserved == 20 * MiB);
}

TEST_CASE("the blocks of a private pool are for nobody else") {
  // 4 MiB of a graph's pool are free; 4 MiB of everybody's do not come from there, though they would fit.
  const Json segments{segment(0, 20 * MiB, 0, 0, 1), segment(32 * MiB, 20 * MiB, 4 * MiB, 4 * MiB)};
  const Json trace{entry("segment_alloc", 0, 20 * MiB, 1),     entry("alloc", 0, 4 * MiB, 1),
                   entry("free_requested", 0, 4 * MiB, 1),     entry("free_completed", 0, 4 * MiB, 1),
                   entry("segment_alloc", 32 * MiB, 20 * MiB), entry("alloc", 32 * MiB, 4 * MiB)};
  Json older = trace;  // which do not say whose an event is
  for (Json& one : older) one.erase("pool_id");
  for (const Json& events : {trace, older}) {
    const CallTrace calls = read(segments, events);
    CHECK(difference(calls, {}, 0) == "");
    CHECK(replay(calls, {}).peak_reserved == 40 * MiB);
    REQUIRE(calls.warnings.size() == 1);
    CHECK(calls.warnings[0].find("1 private pools") != std::string::npos);
  }
}

TEST_CASE("a trace that begins in the middle begins with what was alive") {
  const CallTrace trace =
      read({segment(0, 40 * MiB, 30 * MiB, 30 * MiB), segment(64 * MiB, 20 * MiB, 0, 0)},
           {entry("free_requested", 64 * MiB, 19 * MiB), entry("free_completed", 64 * MiB, 19 * MiB)});
  CHECK(trace.blocks_before.size() == 2);
  CHECK(trace.before.reserved == 60 * MiB);
  CHECK(difference(trace, {}, 0) == "");
  // Blocks alone: 30 MiB get a segment of their own size.
  const ReplayResult result = replay(trace, {});
  CHECK(result.before.allocated == 50 * MiB);
  CHECK(result.before.reserved == 50 * MiB);
}

/// Small pages have 2 MiB. The first one of the range has gone again when the recording begins, in the second one 1.5
/// MiB are free; the first is the first to come back.
TEST_CASE("a trace that begins with gaps in an address range fills them as they were filled") {
  VirtualDevice device("expandable_segments:True");
  Block* first = device.malloc(MiB);
  Block* second = device.malloc(MiB);
  device.malloc(MiB / 2);
  device.free(first);
  device.free(second);
  device.allocator.empty_cache();
  CHECK(device.allocator.reserved() == 2 * MiB);
  const Recorder recorder = record(device.allocator, Ring{});
  device.malloc(MiB);  // in the second page, of which 0.5 MiB are left
  device.malloc(MiB);  // in the first, of which 1 MiB is left
  CHECK(device.allocator.reserved() == 4 * MiB);
  device.malloc(MiB / 4 * 3);
  device.malloc(MiB / 4 * 3);  // what is left is 0.25 and 0.5 MiB: a third page
  CHECK(device.allocator.reserved() == 6 * MiB);
  const CallTrace trace = calls_of(recorder.recording());
  CHECK(trace.totals.back().reserved == 6 * MiB);
  CHECK(difference(trace, trace.config(), 0) == "");
  // On the way to its beginning it may need more than the device has.
  CHECK(difference(trace, trace.config(), 6 * MiB) == "");
}

TEST_CASE("files are told by their content, and what is none is refused") {
  const auto refusal = [](const std::string& bytes) -> std::string {
    try {
      read_calls(bytes, "file");
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("mnemo recording 99\n").find("version") != std::string::npos);
  CHECK(refusal("\x80\x02").find("file") == 0);
  CHECK(refusal("{\"a\": 1}").find("segments") != std::string::npos);
  CHECK(refusal("PK\x03\x04").find("zip") != std::string::npos);
  CHECK(refusal(std::string("alloc\0x", 7)).find("no trace") != std::string::npos);
  CHECK(refusal("hello") ==
        "file:1: unknown operation 'hello'; known are alloc, free, record_stream, complete, "
        "empty_cache, reset_peak");
  CHECK(read_calls(std::string("alloc,a,1,0\n"), "file").calls.size() == 1);
  CHECK_THROWS_AS(read_calls(std::string("/nonexistent")), FileError);
}

// Found by the fuzzers: the one ended the program, the other would have made more calls than there is memory for.
TEST_CASE("a recording with unknown options of the allocator, or with an impossible segment, is refused") {
  const auto refusal = [](const std::string& options, Bytes segment) -> std::string {
    LiveState state;
    Event event{.kind = EventKind::segment_alloc, .size = segment, .tag = {}};
    state.apply(event, -1);
    event = {.kind = EventKind::alloc, .size = 512, .requested = 1, .tag = {}};
    state.apply(event, -1);
    std::ostringstream out;
    RecordingHeader header;
    header.allocator = options;
    RecordingWriter(out, header, state).finish(state);
    try {
      read_calls(out.str(), "file");
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("", Bytes{1} << 40) == "");
  CHECK(refusal("expandable_segments:Teco", 2 * MiB).find("file: ") == 0);
  CHECK(refusal("", Bytes{1} << 60).find("file: a segment for small blocks") == 0);
}

TEST_CASE("a replay can be recorded, tags and all") {
  RecordedWorkload workload("", 0);
  const Recorder recorder = record(workload.allocator(), Ring{});
  workload.run(800);
  const CallTrace trace = calls_of(recorder.recording());
  const TemporaryFolder folder;
  const std::string path = folder / "recording";
  replay(trace, {.record = path});
  const Recording again = Recording::read(path);
  CHECK(again.peak().bytes == trace.recording->peak().bytes);
  CHECK(again.peak().categories == trace.recording->peak().categories);
  CHECK(again.peak_reserved().bytes == trace.recording->peak_reserved().bytes);
}

}  // namespace
}  // namespace mnemo::memory
