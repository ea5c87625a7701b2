// Traces of PyTorch's allocator, replayed through mnemo's: `reserved` is the same after every allocation. What PyTorch
// reserved is added up here from the trace's own events.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/replay.h>
#include <nlohmann/json.hpp>

#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::json;

/// Bytes of segments right after each allocation, by the events of the device that has most of them.
std::vector<Bytes> reserved_at_allocations(const Json& snapshot) {
  const Json& traces = snapshot["device_traces"];
  const auto most =
      std::max_element(traces.begin(), traces.end(), [](const Json& a, const Json& b) { return a.size() < b.size(); });
  if (most == traces.end()) return {};
  const auto grown = [](const Json& event) -> Bytes {
    const std::string action = event["action"];
    if (action == "segment_alloc" || action == "segment_map") return event["size"];
    if (action == "segment_free" || action == "segment_unmap") return -event["size"].get<Bytes>();
    return 0;
  };
  Bytes reserved = 0;
  for (const Json& segment : snapshot["segments"])
    reserved += segment["device"] == most - traces.begin() ? segment["total_size"].get<Bytes>() : 0;
  for (const Json& event : *most) reserved -= grown(event);
  std::vector<Bytes> list;
  for (const Json& event : *most) {
    reserved += grown(event);
    if (event["action"] == "alloc") list.push_back(reserved);
  }
  return list;
}

/// Where mnemo's allocator reserves something else; empty where it never does.
std::string difference(const std::string& text) {
  const CallTrace trace = read_calls(text, "trace");
  const ReplayResult replayed = replay(trace, {.config = trace.config(),
                                               .capacity = trace.capacity(),
                                               .context = trace.context(),
                                               .rebuild_cache = true,
                                               .totals = true,
                                               .ties = ties_of(trace)});
  const std::vector<Bytes> expected = reserved_at_allocations(Json::parse(text));
  std::vector<Bytes> reserved;
  for (std::size_t i = 0; i < trace.calls.size(); ++i) {
    if (trace.calls[i].kind == Call::Kind::malloc) reserved.push_back(replayed.events[i].reserved);
  }
  if (expected.empty()) return "the trace has no allocation";
  if (reserved.size() != expected.size())
    return fmt::format("{} allocations, not {}", reserved.size(), expected.size());
  const auto [here, there] = std::mismatch(reserved.begin(), reserved.end(), expected.begin());
  if (here == reserved.end()) return "";
  return fmt::format("allocation {} of {}: {} reserved, not {}", here - reserved.begin(), reserved.size(), *here,
                     *there);
}

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Something like training with batches of several sizes, as a snapshot.
std::string simulated(const std::string& options) {
  VirtualDevice device(options);
  const Recorder recorder = record(device.allocator, Ring{});
  std::mt19937 random(7);
  std::vector<Block*> weights, activations;
  for (int i = 0; i < 8; ++i) weights.push_back(device.malloc(Bytes{1} << (8 + 2 * i)));
  for (const Bytes batch : {64, 8, 33, 4, 61}) {
    for (int i = 0; i < 20; ++i)
      activations.push_back(device.malloc(batch * (1000 + static_cast<Bytes>(random() % 90'000))));
    while (activations.size() > 3) {
      device.free(activations.back());
      activations.pop_back();
      device.free(device.malloc(batch * static_cast<Bytes>(random() % 100'000) + 1));
    }
    if (batch == 33) device.allocator.empty_cache();
  }
  for (Block* block : weights) device.free(block);
  for (Block* block : activations) device.free(block);
  std::ostringstream out;
  write_memory_viz_json(recorder.recording(), out);
  return out.str();
}

TEST_CASE("traces of PyTorch's allocator: reserved is the same after every allocation") {
  const std::filesystem::path results = MNEMO_RESULTS;
  std::int64_t count = 0;
  if (std::filesystem::exists(results)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(results)) {
      if (entry.path().extension() != ".json" || entry.path().parent_path().filename() != "torch-traces") continue;
      CAPTURE(entry.path().string());
      CHECK(difference(read(entry.path())) == "");
      // What is known of these two; a card's folder may be of any version.
      for (const auto& [version, ties] :
           {std::pair("pytorch-2.11-", Ties::address), std::pair("pytorch-2.15-", Ties::age)}) {
        if (entry.path().stem() == "equal-blocks" && entry.path().string().find(version) != std::string::npos)
          CHECK(ties_of(read_calls(read(entry.path()), "trace")) == ties);
      }
      ++count;
    }
  }
  if (count == 0) MESSAGE("no trace was recorded yet: only simulated ones are replayed");
}

TEST_CASE("traces of a simulated allocator are replayed to the byte, and with other options they are not") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:20", "roundup_power2_divisions:4"}) {
    CAPTURE(options);
    const std::string text = simulated(options);
    CHECK(difference(text) == "");
    Json other = Json::parse(text);
    other.erase("allocator_settings");
    if (*options != '\0') CHECK(difference(other.dump()).find("reserved, not") != std::string::npos);
  }
}

/// By the rules on paper: 1 MiB and less in segments of 2 MiB, up to 10 MiB in segments of 20 MiB, above in multiples
/// of 2 MiB; 17 MiB that are free in a segment do not hold 18.
TEST_CASE("a trace made by hand") {
  constexpr std::int64_t at = 0x7f0000000000;
  const auto event = [](const char* action, std::int64_t address, Bytes size) {
    return Json{{"action", action}, {"addr", at + address}, {"size", size}, {"stream", 0}};
  };
  const auto trace = [&event](Bytes third) {
    return Json{
        {"segments", Json::array()},
        {"device_traces",
         {{event("segment_alloc", 0, 2 * MiB), event("alloc", 0, 512), event("alloc", 512, 100'000),
           event("segment_alloc", 20 * MiB, 20 * MiB), event("alloc", 20 * MiB, 3 * MiB),
           event("segment_alloc", 60 * MiB, third), event("alloc", 60 * MiB, 18 * MiB),
           event("free_requested", 60 * MiB, 18 * MiB), event("free_completed", 60 * MiB, 18 * MiB),
           event("free_requested", 20 * MiB, 3 * MiB), event("free_completed", 20 * MiB, 3 * MiB),
           event("free_requested", 512, 100'000), event("free_completed", 512, 100'000),
           event("free_requested", 0, 512), event("free_completed", 0, 512), event("segment_free", 60 * MiB, third),
           event("segment_free", 20 * MiB, 20 * MiB), event("segment_free", 0, 2 * MiB)}}}}
        .dump();
  };
  CHECK(difference(trace(18 * MiB)) == "");
  CHECK(difference(trace(20 * MiB)) == fmt::format("allocation 3 of 4: {} reserved, not {}", 40 * MiB, 42 * MiB));
}

/// Two segments of 20 MiB, the second one below the first, with 5 MiB free in each: whether 5 MiB are taken from the
/// first or from the second decides whether the first is free as a whole, later, for 19.5 MiB.
TEST_CASE("equal free blocks are taken by the age of their segments or by address, as when they were recorded") {
  constexpr Bytes kHalf = MiB / 2;
  const auto trace = [](bool by_address) {
    constexpr std::int64_t first = 0x7f0000000000 + 60 * MiB, second = 0x7f0000000000;
    Json events = Json::array();
    const auto add = [&events](const char* action, std::int64_t address, Bytes size) {
      events.push_back({{"action", action}, {"addr", address}, {"size", size}, {"stream", 0}});
    };
    const auto free = [&add](std::int64_t address, Bytes size) {
      add("free_requested", address, size);
      add("free_completed", address, size);
    };
    for (const std::int64_t segment : {first, second}) {
      add("segment_alloc", segment, 20 * MiB);
      add("alloc", segment, 5 * MiB);
      add("alloc", segment + 5 * MiB, 15 * MiB);
    }
    free(first, 5 * MiB);
    free(second, 5 * MiB);
    add("alloc", by_address ? second : first, 5 * MiB);
    free(first + 5 * MiB, 15 * MiB);
    constexpr std::int64_t third = first + 60 * MiB;
    if (!by_address) add("segment_alloc", third, 20 * MiB);
    add("alloc", by_address ? first : third, 39 * kHalf);
    // At the end: what is allocated (its size), and what is free (below 0).
    Json segments = Json::array();
    const auto end = [&segments](std::int64_t address, const std::vector<Bytes>& sizes) {
      Json blocks = Json::array();
      for (const Bytes size : sizes) {
        const char* state = size > 0 ? "active_allocated" : "inactive";
        blocks.push_back({{"size", std::abs(size)}, {"requested_size", std::max<Bytes>(size, 0)}, {"state", state}});
      }
      segments.push_back(
          {{"device", 0}, {"address", address}, {"total_size", 20 * MiB}, {"stream", 0}, {"blocks", blocks}});
    };
    end(second, {by_address ? 5 * MiB : -5 * MiB, 15 * MiB});
    by_address ? end(first, {20 * MiB}) : end(first, {5 * MiB, -15 * MiB});
    if (!by_address) end(third, {20 * MiB});
    return Json{{"segments", segments}, {"device_traces", {events}}}.dump();
  };
  for (const bool by_address : {true, false}) {
    CAPTURE(by_address);
    const CallTrace calls = read_calls(trace(by_address), "trace");
    CHECK(ties_of(calls) == (by_address ? Ties::address : Ties::age));
    ReplayOptions other{.rebuild_cache = true, .totals = true, .ties = by_address ? Ties::age : Ties::address};
    CHECK(replay(calls, other).events.back().reserved == (by_address ? 60 : 40) * MiB);
    other.ties = ties_of(calls);
    CHECK(replay(calls, other).events.back().reserved == (by_address ? 40 : 60) * MiB);
  }
}

}  // namespace
}  // namespace mnemo::memory
