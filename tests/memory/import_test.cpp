// Snapshots as recordings: the way there and back again, snapshots whose sums are known, and those that are wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/import.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/replay.h>
#include <mnemo/memory/timeline.h>
#include <nlohmann/json.hpp>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kAt = 0x7f0000000000;

Json entry(const char* action, std::int64_t address, Bytes size, Json frames = Json::array()) {
  return {{"action", action}, {"addr", kAt + address}, {"size", size},
          {"stream", 0},      {"time_us", 0},          {"frames", std::move(frames)}};
}

Json block(std::int64_t address, Bytes size, Bytes requested, const char* state) {
  return {{"address", kAt + address},
          {"size", size},
          {"requested_size", requested},
          {"state", state},
          {"frames", Json::array()}};
}

Json segment(std::int64_t address, Bytes size, Json blocks, bool expandable = false) {
  return {{"device", 0}, {"address", kAt + address},    {"total_size", size},
          {"stream", 0}, {"is_expandable", expandable}, {"blocks", std::move(blocks)}};
}

Json snapshot(Json segments, Json trace) {
  return {{"segments", std::move(segments)},
          {"device_traces", Json::array({std::move(trace)})},
          {"allocator_settings", Json::object()}};
}

Recording read(const Json& snapshot) {
  return Recording::parse(import_snapshot(snapshot.dump(), "snapshot").bytes, "imported");
}

std::string refusal(const Json& snapshot) {
  try {
    import_snapshot(snapshot.dump(), "snapshot");
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

/// "kind position size allocated reserved" of each event.
std::vector<std::string> lines(const Recording& recording) {
  std::vector<std::string> lines;
  for (const Event& event : recording.events()) {
    lines.push_back(
        fmt::format("{} {} {} {} {}", name(event.kind), event.position, event.size, event.allocated, event.reserved));
  }
  return lines;
}

TEST_CASE("a recording that goes out as a snapshot comes back with the same totals after every event") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:20", "roundup_power2_divisions:4"}) {
    for (const int before : {0, 700}) {
      CAPTURE(options);
      CAPTURE(before);
      RecordedWorkload workload(options, 150 * MiB);
      workload.run(before);
      const Recorder recorder = record(workload.allocator(), Ring{}, {.device = "a device", .timed = before != 0});
      workload.run(4000);
      const Recording recording = recorder.recording();
      std::ostringstream pickle;
      write_memory_viz(recording, pickle);
      const ImportedRecording imported = import_snapshot(pickle.str(), "snapshot");
      CHECK(imported.contradictions == 0);
      CHECK(imported.warnings.empty());
      const Recording back = Recording::parse(imported.bytes, "imported");
      CHECK(back.header().device == "a device");
      CHECK(back.header().capacity == recording.header().capacity);
      CHECK(back.header().allocator == recording.header().allocator);
      CHECK(back.header().timed == recording.header().timed);
      CHECK(back.peak().bytes == recording.peak().bytes);
      CHECK(back.peak_reserved().bytes == recording.peak_reserved().bytes);

      Timeline there(recording);
      Timeline again(back);
      REQUIRE(again.next());  // the snapshot's own mark
      CHECK(again.event().kind == EventKind::marker);
      CHECK(again.allocated() == there.allocated());
      CHECK(again.reserved() == there.reserved());
      while (there.next()) {
        const Event& event = there.event();
        if (event.kind == EventKind::retag || event.kind == EventKind::marker) continue;
        REQUIRE(again.next());
        CAPTURE(text(event));
        CAPTURE(text(again.event()));
        REQUIRE(again.event().kind == event.kind);
        REQUIRE(again.event().size == event.size);
        REQUIRE(again.event().stream == event.stream);
        REQUIRE(again.allocated() == there.allocated());
        REQUIRE(again.reserved() == there.reserved());
        if (event.kind != EventKind::alloc) continue;
        REQUIRE(std::string(again.event().tag.op) == event.tag.op);
        REQUIRE(std::string(again.event().tag.module) == event.tag.module);
        REQUIRE(again.event().tag.step == event.tag.step);
        REQUIRE(again.event().tag.phase == event.tag.phase);
        REQUIRE(again.event().requested == event.requested);
      }
      CHECK(!again.next());
      CHECK(again.state().blocks().size() == there.state().blocks().size());

      std::ostringstream json;
      write_memory_viz_json(recording, json);
      CHECK(import_snapshot(json.str(), "snapshot").bytes == imported.bytes);
    }
  }
}

TEST_CASE("sizes are those of the allocator, though a trace says what was asked for") {
  // By hand: 19 MiB in a segment of 20 MiB that is not split; 3 MiB in one that is; 100 bytes in a small one.
  const Json trace{entry("segment_alloc", 0, 20 * MiB),        entry("alloc", 0, 19 * MiB),
                   entry("segment_alloc", 32 * MiB, 20 * MiB), entry("alloc", 32 * MiB, 3 * MiB - 5),
                   entry("segment_alloc", 64 * MiB, 2 * MiB),  entry("alloc", 64 * MiB, 100),
                   entry("free_requested", 0, 19 * MiB),       entry("free_completed", 0, 19 * MiB),
                   entry("segment_free", 0, 20 * MiB),         entry("free_requested", 64 * MiB, 100)};
  const Json segments{
      segment(32 * MiB, 20 * MiB,
              {block(32 * MiB, 3 * MiB, 3 * MiB - 5, "active_allocated"), block(35 * MiB, 17 * MiB, 0, "inactive")}),
      segment(64 * MiB, 2 * MiB,
              {block(64 * MiB, 512, 100, "active_pending_free"), block(64 * MiB + 512, 2 * MiB - 512, 0, "inactive")})};
  const std::vector<std::string> expected{"segment_alloc 0 20971520 0 20971520",
                                          "alloc 0 20971520 20971520 20971520",
                                          "segment_alloc 20971520 20971520 20971520 41943040",
                                          "alloc 20971520 3145728 24117248 41943040",
                                          "segment_alloc 41943040 2097152 24117248 44040192",
                                          "alloc 41943040 512 24117760 44040192",
                                          "free_requested 0 20971520 3146240 44040192",
                                          "free_completed 0 20971520 3146240 44040192",
                                          "segment_free 0 20971520 3146240 23068672",
                                          "free_requested 41943040 512 3145728 23068672"};
  CHECK(lines(read(snapshot(segments, trace))) == expected);
}

TEST_CASE("a trace that is a window begins with what was alive then") {
  const Json trace{entry("free_completed", 0, 300), entry("free_requested", 512, 1000),
                   entry("free_completed", 512, 1000), entry("segment_unmap", 2 * MiB, 2 * MiB),
                   entry("alloc", 512, 600)};
  const Json segments{segment(0, 2 * MiB,
                              {block(0, 512, 0, "inactive"), block(512, 1024, 600, "active_allocated"),
                               block(1536, 2 * MiB - 1536, 700, "active_allocated")},
                              true)};
  const Recording recording = read(snapshot(segments, trace));
  Timeline timeline(recording);
  CHECK(timeline.reserved() == 4 * MiB);
  CHECK(timeline.allocated() == 1024 + 2 * MiB - 1536);  // 300 bytes wait, and are no longer allocated
  CHECK(timeline.state().blocks().at(0).waiting);
  const std::vector<std::string> expected{
      "free_completed 0 512 2096640 4194304", "free_requested 512 1024 2095616 4194304",
      "free_completed 512 1024 2095616 4194304", "segment_free 2097152 2097152 2095616 2097152",
      "alloc 512 1024 2096640 2097152"};
  CHECK(lines(recording) == expected);
}

TEST_CASE("an op is the innermost frame outside of torch") {
  const auto frame = [](const char* function, const char* file, int line) {
    return Json{{"name", function}, {"filename", file}, {"line", line}};
  };
  const Json frames{frame("c10::Allocator::malloc", "??", 0),
                    frame("_conv_forward", "/usr/lib/python3/site-packages/torch/nn/modules/conv.py", 456),
                    frame("forward", "/usr/lib/python3/site-packages/torchvision/models/resnet.py", 92),
                    frame("main", "/home/me/train.py", 12)};
  const Json backward{frame("_engine_run_backward", "/x/site-packages/torch/autograd/graph.py", 7),
                      frame("backward", "/x/site-packages/torch/_tensor.py", 5), frame("main", "train.py", 13)};
  const Json optimizer{frame("step", "/x/site-packages/torch/optim/adam.py", 7)};
  Json trace{entry("segment_alloc", 0, 2 * MiB), entry("alloc", 0, 1, frames), entry("alloc", 512, 1, backward),
             entry("alloc", 1024, 1, optimizer), entry("alloc", 1536, 1)};
  trace[1]["category"] = "gradient";
  trace[2]["category"] = "ACTIVATION";
  const Json segments{
      segment(0, 2 * MiB,
              {block(0, 512, 1, "active_allocated"), block(512, 512, 1, "active_allocated"),
               block(1024, 512, 1, "active_allocated"), block(1536, 2 * MiB - 1536, 1, "active_allocated")})};
  const Recording recording = read(snapshot(segments, trace));
  const std::vector<Event> events = recording.events();
  REQUIRE(events.size() == 5);
  CHECK(std::string(events[1].tag.op) == "forward models/resnet.py:92");
  CHECK(events[1].tag.category == Category::gradient);
  CHECK(events[1].tag.phase == Phase::forward);
  CHECK(std::string(events[2].tag.op) == "main train.py:13");
  CHECK(events[2].tag.category == Category::saved_activation);
  CHECK(events[2].tag.phase == Phase::backward);
  CHECK(std::string(events[3].tag.op) == "step optim/adam.py:7");
  CHECK(events[3].tag.phase == Phase::optimizer);
  CHECK(std::string(events[4].tag.op) == "");
}

/// Of PyTorch 2.11 and 2.15, with their C++ frames: those have files, these have offsets in libraries.
TEST_CASE("in a thread without Python an op is the node of autograd, else the operation") {
  const auto op = [](const std::vector<std::pair<const char*, const char*>>& stack) {
    Json frames = Json::array();
    for (const auto& [function, file] : stack) frames.push_back({{"name", function}, {"filename", file}, {"line", 7}});
    const Json trace{entry("segment_alloc", 0, 2 * MiB), entry("alloc", 0, 1, frames)};
    const Recording recording =
        read(snapshot({segment(0, 2 * MiB, {block(0, 2 * MiB, 1, "active_allocated")})}, trace));
    const Event event = recording.events()[1];
    return fmt::format("{} in {}", event.tag.op, name(event.tag.phase));
  };
  CHECK(op({{"torch::cuda::(anonymous namespace)::gather_with_cpp()", "memory_snapshot.cpp"},
            {"at::_ops::nll_loss_backward::redispatch(c10::DispatchKeySet, at::Tensor const&)", "??"},
            {"torch::autograd::generated::NllLossBackward0_apply_functional(std::vector<at::Tensor>)", "Functions.cpp"},
            {"torch::autograd::generated::NllLossBackward0::apply(std::vector<at::Tensor>&&)", "??"},
            {"torch::autograd::Node::operator()(std::vector<at::Tensor>&&)", ""},
            {"torch::autograd::Engine::thread_main(std::shared_ptr<torch::autograd::GraphTask> const&)", "??"},
            {"std::error_code::default_error_condition() const", "??"},
            {"start_thread", "./nptl/./nptl/pthread_create.c"}}) == "NllLossBackward0 in backward");
  CHECK(
      op({{"??", "/x/site-packages/torch/lib/libc10_cuda.so"},
          {"torch::autograd::AccumulateGrad::apply(std::vector<at::Tensor>&&)", "/x/torch/lib/libtorch_cpu.so"},
          {"torch::autograd::Engine::thread_main(std::shared_ptr<torch::autograd::GraphTask> const&)", "torch_cpu.so"},
          {"??", "/lib/x86_64-linux-gnu/libstdc++.so.6"}}) == "AccumulateGrad in backward");
  CHECK(op({{"at::detail::empty_cuda(c10::ArrayRef<long>)", "libtorch_cuda.so"},
            {"at::_ops::add_Tensor::call(at::Tensor const&)", "libtorch_cpu.so"},
            {"??", "/lib/x86_64-linux-gnu/libc.so.6"}}) == "add_Tensor in forward");
  CHECK(op({{"at::_ops::add_Tensor::call(at::Tensor const&)", "libtorch_cpu.so"},
            {"train(Net&)", "/home/me/train.cpp"}}) == "train(Net&) me/train.cpp:7 in forward");
}

TEST_CASE("blocks whose coming or going was not recorded are made good and counted") {
  const Json segments{segment(0, 2 * MiB, {block(0, 2 * MiB, 900, "active_allocated")})};
  // The first block at 0 goes unseen; the block at 512 is freed, its place then taken unseen.
  const Json trace{entry("segment_alloc", 0, 2 * MiB), entry("alloc", 0, 100),
                   entry("alloc", 512, 100),           entry("free_requested", 512, 100),
                   entry("free_completed", 512, 100),  entry("alloc", 0, 900)};
  const ImportedRecording imported = import_snapshot(snapshot(segments, trace).dump(), "snapshot");
  CHECK(imported.contradictions > 0);
  REQUIRE(imported.warnings.size() == 1);
  CHECK(imported.warnings[0].find("contradict others") != std::string::npos);
  const Recording recording = Recording::parse(imported.bytes, "imported");
  Timeline timeline(recording);
  timeline.seek(recording.size());
  CHECK(timeline.allocated() == 2 * MiB);
}

TEST_CASE("options, the device and what has no trace") {
  Json input = snapshot({segment(0, 2 * MiB, {block(0, 2 * MiB, 5, "active_allocated")})}, Json::array());
  input["allocator_settings"] = {
      {"PYTORCH_CUDA_ALLOC_CONF", "backend:native,roundup_power2_divisions:[64:8,>:4],max_split_size_mb:128"},
      {"max_split_size", -1},
      {"garbage_collection_threshold", 0.0},
      {"expandable_segments", false}};
  const ImportedRecording imported = import_snapshot(input.dump(), "a/snapshot.pickle");
  const Recording recording = Recording::parse(imported.bytes, "imported");
  CHECK(recording.size() == 0);
  CHECK(recording.peak().bytes == 2 * MiB);
  CHECK(recording.header().allocator.find("max_split_size_mb:128") != std::string::npos);
  CHECK(recording.header().allocator.find("roundup_power2_divisions") != std::string::npos);
  CHECK(recording.header().device == "cuda:0");
  CHECK(imported.warnings.size() == 2);  // backend:native; no trace

  Json other = segment(0, 2 * MiB, {block(0, 2 * MiB, 5, "inactive")});
  other["device"] = 1;
  input["segments"].push_back(other);
  input["device_traces"] = Json::array({Json::array(), Json::array({entry("snapshot", 0, 0)})});
  CHECK(import_snapshot(input.dump(), "snapshot").device_index == 1);
  CHECK(Recording::parse(import_snapshot(input.dump(), "snapshot").bytes, "x").peak_reserved().bytes == 2 * MiB);
  CHECK(import_snapshot(input.dump(), "snapshot", {.device_index = 0}).device_index == 0);
  CHECK_THROWS_AS(import_snapshot(input.dump(), "snapshot", {.device_index = 2}), ConfigError);
}

/// 12 and 10 MiB are there, 8 are left; 14 fail, and once the 12 are free they have to go for the 14.
TEST_CASE("what was left when a request failed tells the capacity") {
  Json oom = entry("oom", 0, 14 * MiB);
  oom.erase("addr");
  const auto made = [](const Json& failed) {
    const Json trace = {entry("segment_alloc", 0, 12 * MiB),
                        entry("alloc", 0, 12 * MiB),
                        entry("segment_alloc", 20 * MiB, 10 * MiB),
                        entry("alloc", 20 * MiB, 10 * MiB),
                        failed,
                        entry("free_requested", 0, 12 * MiB),
                        entry("free_completed", 0, 12 * MiB),
                        entry("segment_free", 0, 12 * MiB),
                        entry("segment_alloc", 40 * MiB, 14 * MiB),
                        entry("alloc", 40 * MiB, 14 * MiB)};
    const auto whole = [](std::int64_t at, Bytes size) {
      return segment(at, size, {block(at, size, size, "active_allocated")});
    };
    return snapshot({whole(20 * MiB, 10 * MiB), whole(40 * MiB, 14 * MiB)}, trace).dump();
  };
  const auto count = [](const CallTrace& trace, Call::Kind kind) {
    return std::count_if(trace.calls.begin(), trace.calls.end(), [&](const Call& call) { return call.kind == kind; });
  };
  CHECK(read_calls(made(oom), "snapshot").capacity() == 0);
  CHECK(count(read_calls(made(oom), "snapshot"), Call::Kind::empty_cache) == 1);
  oom["device_free"] = 8 * MiB;
  const CallTrace trace = read_calls(made(oom), "snapshot");
  CHECK(trace.capacity() == 30 * MiB);
  CHECK(count(trace, Call::Kind::empty_cache) == 0);
  const ReplayResult replayed = replay(trace, {.capacity = trace.capacity()});
  CHECK(replayed.statistics.num_ooms == 1);
  CHECK(replayed.statistics.num_alloc_retries == 2);
  CHECK(replayed.peak_reserved == 24 * MiB);
  oom["device_free"] = -1;
  CHECK(refusal(Json::parse(made(oom))).find("event 4 has a 'device_free' of -1") != std::string::npos);
}

TEST_CASE("what is no snapshot, or contradicts itself, is refused with its place") {
  const auto contains = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  };
  for (const char* bytes : {"", "PK\x03\x04", "\x1f\x8b\x08", "(dp0", "[]", "{", "{}"}) {
    CAPTURE(bytes);
    CHECK_THROWS_AS(import_snapshot(bytes, "snapshot"), FileError);
  }
  CHECK_THROWS_AS(import_snapshot("/nonexistent"), FileError);
  const Json whole = segment(0, 2 * MiB, {block(0, 2 * MiB, 5, "active_allocated")});
  contains(refusal(Json{{"segments", 1}, {"device_traces", 2}}), "has no list 'segments'");
  contains(refusal(snapshot({1}, Json::array())), "segments[0] is no dictionary");
  contains(refusal(snapshot({whole, whole}, Json::array())), "segments that overlap");
  contains(refusal(snapshot({segment(0, 3 * MiB, {block(0, 2 * MiB, 5, "inactive")})}, Json::array())),
           "segments[0] has blocks of 2097152 bytes together, not 3145728");
  contains(refusal(snapshot({segment(0, MiB, {block(512, MiB, 5, "inactive")})}, Json::array())),
           "segments[0].blocks[0] begins at 0x7f0000000200");
  contains(refusal(snapshot({segment(0, MiB, {block(0, 2 * MiB, 5, "inactive")})}, Json::array())),
           "beyond its segment");
  contains(refusal(snapshot({segment(0, MiB, {block(0, MiB, 5, "odd")})}, Json::array())), "has the state 'odd'");
  contains(refusal(snapshot({whole}, {entry("snapshot", 0, 0), 5})), "event 1 is no dictionary");
  contains(refusal(snapshot({whole}, {entry("alloc", 0, -5)})), "event 0 has a 'size' of -5");
  contains(refusal(snapshot({whole}, {Json{{"action", "alloc"}, {"size", 5}}})), "event 0 has no 'addr'");
  contains(refusal(snapshot({whole}, {entry("alloc", 0, 5), entry("alloc", 64 * MiB, 5)})),
           "event 1 is at 0x7f0004000000, where there was never a segment");
  contains(refusal(snapshot({whole}, {entry("segment_alloc", 64 * MiB, MiB)})), "event 0 obtains 1048576 bytes");
  contains(refusal(snapshot({whole}, {entry("segment_free", 0, MiB)})), "event 0 gives back 1048576 bytes");
  contains(refusal(snapshot({whole}, {entry("free_completed", 64 * MiB, MiB)})), "event 0 frees 1048576 bytes");
}

TEST_CASE("snapshots that Python pickled") {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) {
    MESSAGE("SKIPPED: no python3 to pickle with");
    return;
  }
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  for (const Bytes bytes : {Bytes{100}, 3 * MiB, 19 * MiB, Bytes{5000}}) device.free(device.malloc(bytes));
  Block* kept = device.malloc(12 * MiB);
  const Recording recording = recorder.recording();
  std::ostringstream json;
  write_memory_viz_json(recording, json);
  const TemporaryFolder folder;
  std::ofstream(folder / "json") << json.str();
  const std::string script =
      "import json, pickle\nvalue = json.load(open('json'))\n"
      "for s in value['segments']: s['segment_pool_id'] = tuple(s['segment_pool_id'])\n"
      "for p in (2, 3, 4): pickle.dump(value, open('p%d' % p, 'wb'), protocol=p)\n";
  std::ofstream(folder / "write.py") << script;
  CHECK(std::system(fmt::format("cd '{}' && python3 write.py", folder.path().string()).c_str()) == 0);
  for (const char* protocol : {"p2", "p3", "p4"}) {
    const ImportedRecording imported = import_snapshot(folder / protocol);
    const Recording back = Recording::parse(imported.bytes, "imported");
    CHECK(back.peak().bytes == recording.peak().bytes);
    CHECK(back.peak_reserved().bytes == recording.peak_reserved().bytes);
    CHECK(back.size() == recording.size() + 1);
  }
  device.free(kept);
}

}  // namespace
}  // namespace mnemo::memory
