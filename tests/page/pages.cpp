// The pages that the browser test opens, and what they have to show, written to the folder that is given.
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include <fmt/format.h>
#include <mnemo/memory/chrome_trace.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/report.h>
#include <mnemo/memory/timeline.h>
#include <nlohmann/json.hpp>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHostile = "</script><img src=x onerror='window.hit=1'><b>bold</b>";

void write(const std::string& file, const std::vector<ReportRun>& runs, const ReportText& text = {}) {
  std::ofstream out(file, std::ios::binary);
  write_report(out, runs, text);
}

/// Random events with blocks alive before, streams, retags and errors.
Recording random_run(int operations, const char* options, bool timed = false) {
  RecordedWorkload workload(options, 256 * MiB);
  workload.run(100);
  Recorder recorder = record(workload.allocator(), Ring{1 << 21},
                             {.device = "test", .metadata = {{"seed", "1"}, {"name", kHostile}}, .timed = timed});
  workload.run(operations);
  return recorder.recording();
}

/// Two steps of five layers that keep what they make until backward; the device is too small for the third. An
/// optimizer that allocates nothing ends each.
Recording training(Bytes size, Bytes workspace, Bytes capacity) {
  VirtualDevice device("", capacity);
  Recorder recorder = record(device.allocator, Ring{}, {.device = "virtual:test", .context = 300 * MiB});
  static const char* const kLayers[] = {"encoder.0", "encoder.1", "middle", "decoder.1", "decoder.0"};
  Tag& tag = current_tag();
  std::vector<Block*> kept;
  try {
    for (std::int64_t step = 1; step <= 3; ++step) {
      tag = {Category::live_activation, Phase::forward, "conv3d", "", step};
      for (const char* layer : kLayers) {
        tag.module = layer;
        tag.category = Category::live_activation;
        kept.push_back(device.malloc(size * step));
        device.allocator.marker(intern(fmt::format("output conv3d ({}, 1024) uint8", size * step / 1024)));
        tag.category = Category::workspace;
        device.free(device.malloc(workspace));
        device.allocator.retag(kept.back(), Category::saved_activation);
      }
      tag.phase = Phase::backward;
      for (; !kept.empty(); kept.pop_back()) {
        device.free(device.malloc(size));
        device.free(kept.back());
      }
      tag.phase = Phase::optimizer;
      device.allocator.marker("phase optimizer");
      tag.phase = Phase::forward;
      device.allocator.marker("phase forward");
    }
  } catch (const OutOfMemory&) {
  }
  for (Block* block : kept) device.free(block);
  tag = {};
  return recorder.recording();
}

Recording hostile_run() {
  VirtualDevice device;
  Recorder recorder = record(device.allocator, Ring{}, {.device = kHostile, .metadata = {{kHostile, kHostile}}});
  const OpScope op(kHostile);
  const ModuleScope module(kHostile);
  Block* block = device.malloc(3 * MiB);
  device.allocator.marker(kHostile);
  Recording recording = recorder.recording();
  device.free(block);
  return recording;
}

Bytes requested(const LiveState& state) {
  Bytes bytes = 0;
  for (const auto& [position, block] : state.blocks()) bytes += block.waiting ? 0 : block.requested;
  return bytes;
}

/// The ledger's sums after some of the events.
Json sums(const Recording& recording) {
  Json result = Json::array();
  Timeline timeline(recording);
  do {
    if (timeline.index() % 37 == 0 || timeline.index() + 1 == recording.size()) {
      result.push_back({{"event", timeline.index()},
                        {"allocated", timeline.allocated()},
                        {"reserved", timeline.reserved()},
                        {"categories", timeline.categories()},
                        {"requested", requested(timeline.state())},
                        {"blocks", timeline.state().blocks().size()},
                        {"segments", timeline.state().segments().size()}});
    }
  } while (timeline.next());
  return result;
}

/// Along batch: over 24 GiB and 40 GiB, then it does not fit into 64 GiB. Along size: 96 needs more than 128.
ReportText sweep_text() {
  ReportText text;
  text.sweeps = {
      {"size 64",
       64 * GiB,
       {{"4", 10 * GiB, 12 * GiB},
        {"8", 20 * GiB, 24 * GiB},
        {"12", 30 * GiB, 36 * GiB},
        {"16", 40 * GiB, 44 * GiB},
        {"32", 70 * GiB, 70 * GiB, false}},
       "batch"},
      {"batch 8",
       64 * GiB,
       {{"64", 20 * GiB, 22 * GiB}, {"96", 32 * GiB, 33 * GiB, true, "96: FFT"}, {"128", 28 * GiB, 34 * GiB}},
       "size"}};
  return text;
}

void write_pages(const std::string& folder) {
  const std::map<std::string, Recording> runs{{"one", random_run(2500, "")},
                                              {"ranges", random_run(1500, "expandable_segments:True")},
                                              {"timed", random_run(1500, "", true)}};
  Json expected;
  for (const auto& [name, recording] : runs) {
    const std::string file = folder + "/" + name;
    write(file + ".html", {{recording, name}});
    expected[name] = sums(recording);
    // What other programs get, to be held against what the page lets them have.
    std::ofstream snapshot(file + ".pickle", std::ios::binary), trace(file + ".trace.json", std::ios::binary);
    write_memory_viz(recording, snapshot);
    write_chrome_trace(recording, trace);
  }
  std::ofstream(folder + "/sums.json") << expected.dump();
  const std::vector<ReportRun> two = {{training(8 * MiB, 30 * MiB, 0), "before"},
                                      {training(6 * MiB, 44 * MiB, 130 * MiB), "after"}};
  write(folder + "/two.html", two);
  const ReportText text{.answer = {kHostile},
                        .sums = {{"peak", 100, 70, {{kHostile, 20, kHostile, kHostile}, {"less", -50}}}},
                        .sweeps = {{kHostile,
                                    24 * GiB,
                                    {{"1", 4 * GiB, 5 * GiB, true, kHostile}, {"2", 24 * GiB, 25 * GiB, false}},
                                    kHostile}},
                        .footer = {{kHostile, kHostile}}};
  write(folder + "/hostile.html", {{hostile_run(), kHostile, {{"module", kHostile}, {{kHostile, "3,145,728 B"}}}}},
        text);
  write(folder + "/sweep.html", {{training(6 * MiB, 44 * MiB, 0), "batch 8"}}, sweep_text());
  write(folder + "/million.html", {{random_run(1'000'000, ""), "million"}});
}

}  // namespace
}  // namespace mnemo::memory

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: test-page-writer FOLDER\n", stderr), 2;
  mnemo::memory::write_pages(argv[1]);
}
