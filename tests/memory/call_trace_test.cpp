// Calls read back from recordings: made again under the same options they lead to the same totals after each of them.
#include <doctest/doctest.h>

#include <filesystem>
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
#include <mnemo/memory/replay.h>

#include "memory/recorded_workload.h"

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

}  // namespace
}  // namespace mnemo::memory
