// The pages that the browser test opens, and what they have to show, written to the folder that is given.
#include <cstdio>
#include <fstream>
#include <string>

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
Recording random_run(int operations, const char* options) {
  RecordedWorkload workload(options, 256 * MiB);
  workload.run(100);
  Recorder recorder = record(workload.allocator(), Ring{1 << 21}, {.device = "test", .metadata = {{"seed", "1"}}});
  workload.run(operations);
  return recorder.recording();
}

/// Two steps of five layers that keep what they make until backward; the device is too small for the third.
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
        tag.category = Category::workspace;
        device.free(device.malloc(workspace));
        device.allocator.retag(kept.back(), Category::saved_activation);
      }
      tag.phase = Phase::backward;
      for (; !kept.empty(); kept.pop_back()) {
        device.free(device.malloc(size));
        device.free(kept.back());
      }
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
                        {"blocks", timeline.state().blocks().size()},
                        {"segments", timeline.state().segments().size()}});
    }
  } while (timeline.next());
  return result;
}

void write_pages(const std::string& folder) {
  const Recording one = random_run(2500, "");
  const Recording ranges = random_run(1500, "expandable_segments:True");
  write(folder + "/one.html", {{one, "one"}});
  write(folder + "/ranges.html", {{ranges, "ranges"}});
  const Json expected = {{"one", sums(one)}, {"ranges", sums(ranges)}};
  std::ofstream(folder + "/sums.json") << expected.dump();
  const std::vector<ReportRun> two = {{training(8 * MiB, 30 * MiB, 0), "before"},
                                      {training(6 * MiB, 44 * MiB, 130 * MiB), "after"}};
  write(folder + "/two.html", two);
  const ReportText text{
      .answer = {kHostile},
      .sums = {{"peak", 100, 70, {{kHostile, 20, kHostile, kHostile}, {"less", -50}}}},
      .layers = {{"module", kHostile}, {{kHostile, "3.00 MiB"}}},
      .sweeps = {{kHostile, 24 * GiB, {{"1", 4 * GiB, 5 * GiB, true, kHostile}, {"2", 24 * GiB, 25 * GiB, false}}}},
      .footer = {{kHostile, kHostile}}};
  write(folder + "/hostile.html", {{hostile_run(), kHostile}}, text);
  write(folder + "/million.html", {{random_run(1'000'000, ""), "million"}});
}

}  // namespace
}  // namespace mnemo::memory

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: test-page-writer FOLDER\n", stderr), 2;
  mnemo::memory::write_pages(argv[1]);
}
