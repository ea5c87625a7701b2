// Recordings for other programs, read back with what those programs are made of: Python's pickle, a JSON parser.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/chrome_trace.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/pickle.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>
#include <nlohmann/json.hpp>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::json;

/// The viewer's own rules: which opcodes it reads, and its way back from the segments at the end to the beginning.
constexpr const char* kViewer = R"python(
import collections, json, pickle, pickletools, sys
data = open(sys.argv[1], 'rb').read()
if data[:1] == b'{':  # as the viewer does: JSON first, else a pickle
  snapshot = json.loads(data.decode('utf-8'))
  for s in snapshot['segments']: s['segment_pool_id'] = tuple(s['segment_pool_id'])
else:
  snapshot = None
known = set('''PROTO STOP MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE DICT LIST TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS
SETITEM SETITEMS NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE BINPUT LONG_BINPUT BINGET
LONG_BINGET'''.split())
if snapshot is None:
  opcodes = list(pickletools.genops(data))
  assert {op.name for op, _, _ in opcodes} <= known
  assert opcodes[0][0].name == 'PROTO' and opcodes[0][1] == 2
  snapshot = pickle.loads(data)
if not isinstance(snapshot, dict):
  print(json.dumps(snapshot))
  sys.exit()
trace, = snapshot['device_traces']
categories = {entry['category'] for entry in trace if 'category' in entry}
assert 'unknown' in categories
merge = any(entry['action'] == 'segment_map' for entry in trace) or any(s['is_expandable'] for s in snapshot['segments'])
segments, blocks = {}, {}
for segment in snapshot['segments']:
  at = segment['address']
  sums = collections.Counter()
  for block in segment['blocks']:
    assert block['address'] == at and block['size'] > 0 and isinstance(block['frames'], list)
    at += block['size']
    sums[block['state']] += block['size']
    sums['requested'] += block['requested_size']
    if block['state'] != 'inactive': blocks[block['address']] = (block['state'], block['requested_size'])
  assert at == segment['address'] + segment['total_size']
  assert segment['allocated_size'] == sums['active_allocated']
  assert segment['active_size'] == sums['active_allocated'] + sums['active_pending_free']
  assert segment['requested_size'] == sums['requested']
  assert segment['segment_type'] in ('small', 'large') and segment['segment_pool_id'] == (0, 0)
  segments[segment['address']] = segment['total_size']
end = sum(segments.values())
def around(begin, size):
  found = [a for a in segments if a <= begin and begin + size <= a + segments[a]]
  assert len(found) == 1, (hex(begin), size)
  return found[0]
for entry in reversed(trace):
  for frame in entry['frames']: assert isinstance(frame['name'], str) and isinstance(frame['filename'], str)
  action, size = entry['action'], entry['size']
  if action == 'oom': assert entry['device_free'] >= 0
  if action in ('oom', 'snapshot'): continue
  address = entry['addr']
  if action == 'alloc':
    assert blocks.pop(address) == ('active_allocated', size)
  elif action == 'free_requested':
    assert blocks[address] == ('active_pending_free', size)
    blocks[address] = ('active_allocated', size)
  elif action == 'free_completed':
    assert address not in blocks
    blocks[address] = ('active_pending_free', size)
    around(address, size)
  elif action in ('segment_free', 'segment_unmap'):
    segments[address] = size
    if action == 'segment_unmap':
      below = [a for a in segments if a + segments[a] == address]
      if below: segments[below[0]] += segments.pop(address); address = below[0]
      above = address + segments[address]
      if above in segments: segments[address] += segments.pop(above)
  elif action == 'segment_alloc':
    assert segments.pop(address) == size
  elif action == 'segment_map':
    whole = around(address, size)
    length = segments.pop(whole)
    if whole < address: segments[whole] = address - whole
    if address + size < whole + length: segments[address + size] = whole + length - address - size
  else:
    assert False, action
print(json.dumps({'actions': collections.Counter(entry['action'] for entry in trace), 'end': end,
                  'begin': sum(segments.values()), 'alive': len(blocks), 'categories': sorted(categories),
                  'first': [entry for entry in trace if entry['action'] == 'alloc'][:1]}))
)python";

/// What Python makes of a pickle; null, said aloud, where there is no Python.
Json unpickled(const std::string& pickle) {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) {
    MESSAGE("SKIPPED: no python3 to unpickle with");
    return nullptr;
  }
  const TemporaryFolder folder;
  std::ofstream(folder / "viewer.py") << kViewer;
  std::ofstream(folder / "pickle", std::ios::binary) << pickle;
  const std::string command = fmt::format("cd '{}' && python3 viewer.py pickle > out.json", folder.path().string());
  CHECK(std::system(command.c_str()) == 0);
  std::ifstream out(folder / "out.json");
  Json result = Json::parse(out, nullptr, false);
  REQUIRE(!result.is_discarded());
  return result;
}

std::string memory_viz(const Recording& recording) {
  std::ostringstream out;
  write_memory_viz(recording, out);
  return std::move(out).str();
}

std::string memory_viz_json(const Recording& recording) {
  std::ostringstream out;
  write_memory_viz_json(recording, out);
  return std::move(out).str();
}

TEST_CASE("a pickle holds numbers, texts, lists and dictionaries") {
  std::ostringstream out;
  PickleWriter pickle(out);
  const std::vector<std::int64_t> numbers{
      0,        1, 255, 256, 65535, 65536, -1, 1 << 30, -4096, 1 << 31, 4294967295, -2147483649, std::int64_t{1} << 62,
      INT64_MIN};
  pickle.begin_list();
  for (const std::int64_t number : numbers) pickle.number(number);
  pickle.next_batch();
  pickle.boolean(true);
  pickle.boolean(false);
  pickle.text("n\xc3\xa4me \"\n");
  const PickleWriter::Reference name = pickle.remember();
  pickle.again(name);
  pickle.text("\xff\xc3!");
  pickle.begin_dictionary();
  pickle.text("key");
  pickle.pair(-7, 8);
  pickle.end_dictionary();
  pickle.empty_list();
  pickle.end_list();
  pickle.finish();
  const Json read = unpickled(out.str());
  if (read.is_null()) return;
  Json expected = numbers;
  expected.insert(expected.end(), {true, false, "n\xc3\xa4me \"\n", "n\xc3\xa4me \"\n", "\xef\xbf\xbd\xef\xbf\xbd!"});
  expected.push_back(Json{{"key", {-7, 8}}});
  expected.push_back(Json::array());
  CHECK(read == expected);
}

TEST_CASE("memory_viz can go all the way back from the end to the beginning") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:20"}) {
    CAPTURE(options);
    RecordedWorkload workload(options, 150 * MiB);
    workload.run(300);
    const Bytes begin = workload.allocator().reserved();
    std::size_t alive = 0;
    for (const SegmentView& segment : workload.allocator().snapshot()) {
      for (const BlockView& block : segment.blocks) alive += block.state != BlockView::State::inactive;
    }
    Recorder recorder = record(workload.allocator(), Ring{}, {.device = "virtual"});
    workload.run(4000);
    const Recording recording = recorder.recording();
    const Json read = unpickled(memory_viz(recording));
    if (read.is_null()) return;
    CHECK(read["begin"] == begin);
    CHECK(read["end"] == workload.allocator().reserved());
    CHECK(read["alive"] == alive);
    std::map<std::string, int> expected{{"snapshot", 1}};
    const bool expandable = std::string(options).find("expandable") == 0;
    for (const Event& event : recording.events()) {
      if (event.kind == EventKind::retag || event.kind == EventKind::marker) continue;
      std::string action = name(event.kind);
      if (expandable && action == "segment_alloc") action = "segment_map";
      if (expandable && action == "segment_free") action = "segment_unmap";
      ++expected[action];
    }
    CHECK(read["actions"] == Json(expected));
    CHECK(read["categories"].size() == kCategories + 1);
    CHECK(unpickled(memory_viz_json(recording)) == read);
  }
}

TEST_CASE("memory_viz colours a block by what it was held for last, and names its op and module") {
  VirtualDevice device;
  Recorder recorder = record(device.allocator, Ring{});
  {
    const CategoryScope category(Category::live_activation);
    const OpScope op("conv3d");
    const ModuleScope module("encoder.0");
    const StepScope step(2);
    Block* block = device.malloc(1000);
    device.allocator.retag(block, Category::saved_activation);
    device.free(block);
  }
  const Json read = unpickled(memory_viz(recorder.recording()));
  if (read.is_null()) return;
  const Json& entry = read["first"][0];
  CHECK(entry["category"] == "saved_activation");
  CHECK(entry["size"] == 1000);
  CHECK(entry["time_us"] == 1);
  CHECK(entry["frames"][0] == Json{{"name", "conv3d"}, {"filename", "encoder.0"}, {"line", 0}});
  CHECK(entry["frames"][1] == Json{{"name", "forward"}, {"filename", "step 2"}, {"line", 0}});
}

TEST_CASE("a Chrome trace is JSON whose counters are the recording's and whose slices close") {
  RecordedWorkload workload("expandable_segments:True", 150 * MiB);
  workload.run(300);
  Recorder recorder = record(workload.allocator(), Ring{}, {.device = "a \"device\"", .metadata = {{"batch", "\xff"}}});
  workload.run(3000);
  const Recording recording = recorder.recording();
  std::ostringstream out;
  write_chrome_trace(recording, out);
  const Json trace = Json::parse(out.str());
  CHECK(trace["otherData"]["device"] == "a \"device\"");
  CHECK(trace["displayTimeUnit"] == "ms");

  Timeline timeline(recording);
  std::map<std::string, Bytes> counters;
  std::map<std::string, std::string> open;
  std::map<std::string, int> kinds;
  int depth = 0;
  std::int64_t last = 0;
  for (const Json& event : trace["traceEvents"]) {
    const std::string kind = event["ph"];
    ++kinds[kind];
    const std::int64_t time = event["ts"];
    REQUIRE(time >= last);
    // Before time moves on, every counter has the value after the events until then.
    if (time > last) {
      timeline.seek(last);
      CHECK(counters["allocated"] == timeline.allocated());
      CHECK(counters["reserved"] == timeline.reserved());
      for (std::size_t i = 0; i < kCategories; ++i) {
        CHECK(counters[name(static_cast<Category>(i))] == timeline.categories()[i]);
      }
      last = time;
    }
    if (kind == "C") counters[event["name"]] = event["args"]["bytes"];
    if (kind == "b") REQUIRE(open.emplace(event["id"], event["name"]).second);
    if (kind == "n" || kind == "e") REQUIRE(open.at(event["id"]) == event["name"].get<std::string>());
    if (kind == "e") open.erase(event["id"]);
    depth += kind == "B" ? 1 : kind == "E" ? -1 : 0;
    CHECK((depth == 0 || depth == 1));
  }
  CHECK(last == recording.size());
  CHECK(open.empty());
  CHECK(depth == 0);
  CHECK(kinds["b"] == kinds["e"]);
  CHECK(kinds["n"] > 100);
  CHECK(kinds["i"] > 10);
}

}  // namespace
}  // namespace mnemo::memory
