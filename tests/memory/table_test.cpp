// Recordings as CSV and as collapsed stacks: every line adds up with the recording.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include <mnemo/memory/collapsed.h>
#include <mnemo/memory/csv.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

/// The fields of a CSV text, line by line; a small reader of its own.
std::vector<std::vector<std::string>> rows(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') {
      // A doubled quote inside of quotes leaves and enters them again.
      if (!quoted && !rows.back().back().empty() && rows.back().back().back() == '\1') rows.back().back().back() = '"';
      if (quoted) rows.back().back() += '\1';
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      rows.back().emplace_back();
    } else if (c == '\n' && !quoted) {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  rows.pop_back();
  for (auto& row : rows) {
    for (std::string& field : row) std::erase(field, '\1');
  }
  return rows;
}

TEST_CASE("CSV has a line per event and a line per block") {
  RecordedWorkload workload("expandable_segments:True", 150 * MiB);
  workload.run(300);
  const Recorder recorder = record(workload.allocator(), Ring{});
  workload.run(3000);
  const Recording recording = recorder.recording();
  const std::vector<Event> events = recording.events();

  std::ostringstream out;
  write_events_csv(recording, out);
  auto lines = rows(out.str());
  REQUIRE(lines.size() == events.size() + 1);
  for (std::size_t i = 0; i < events.size(); ++i) {
    const std::vector<std::string>& line = lines[i + 1];
    REQUIRE(line.size() == lines[0].size());
    CHECK(line[0] == std::to_string(i));
    CHECK(line[2] == name(events[i].kind));
    CHECK(line[4] == std::to_string(events[i].size));
    CHECK(line[11] == events[i].tag.op);
    CHECK(line[12] == events[i].tag.module);
    CHECK(line[13] == std::to_string(events[i].allocated));
    CHECK(line[14] == std::to_string(events[i].reserved));
  }

  std::ostringstream blocks;
  write_blocks_csv(recording, blocks);
  lines = rows(blocks.str());
  // At every event the blocks that live then add up to what is allocated.
  std::vector<Bytes> change(events.size() + 1);
  Timeline timeline(recording);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string>& line = lines[i];
    REQUIRE(line.size() == lines[0].size());
    const std::int64_t begin = std::stoll(line[0]);
    // One that only waits since before the recording is not allocated at any of its events.
    if (begin < 0 && line[1].empty() && timeline.state().blocks().at(std::stoull(line[6])).waiting) continue;
    change[static_cast<std::size_t>(begin + 1)] += std::stoll(line[7]);
    if (!line[1].empty()) change[static_cast<std::size_t>(std::stoll(line[1]) + 1)] -= std::stoll(line[7]);
    if (!line[2].empty() && !line[1].empty()) CHECK(std::stoll(line[2]) >= std::stoll(line[1]));
  }
  Bytes allocated = change[0];
  CHECK(allocated == timeline.allocated());
  for (std::size_t i = 0; i < events.size(); ++i) {
    allocated += change[i + 1];
    REQUIRE(allocated == events[i].allocated);
  }
}

TEST_CASE("collapsed stacks add up to the peak and name phase, module and op") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  std::vector<Block*> blocks;
  {
    const PhaseScope phase(Phase::backward);
    const OpScope op("conv;3d");
    const ModuleScope module("encoder.0.conv");
    blocks = {device.malloc(1000), device.malloc(512)};
  }
  device.free(device.malloc(3 * MiB));
  std::ostringstream out;
  write_collapsed(recorder.recording(), out);
  CHECK(out.str() == "backward;encoder;0;conv;conv:3d 1536\nforward;(no op) 3145728\n");
  for (Block* block : blocks) device.free(block);
}

}  // namespace
}  // namespace mnemo::memory
