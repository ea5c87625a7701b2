// Explanation: notes about layers, sums at the peak, lives of blocks, and what measures are worth.
#include <mnemo/memory/explanation.h>

#include <doctest/doctest.h>
#include <mnemo/memory/recorder.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

using namespace mnemo::memory;

namespace {

void check_sums(const Explanation& e, const Recording& recording) {
  CHECK(e.peak.allocated == recording.peak().bytes);
  CHECK(e.peak.categories == recording.peak().categories);
  CHECK(e.peak_reserved.reserved == recording.peak_reserved().bytes);
  CHECK(e.device_use() == recording.peak_reserved().bytes + recording.header().context.value_or(0));
  Bytes at_peak = 0;
  Bytes parameters = 0;
  for (const LayerRow& row : e.layers) {
    at_peak += row.at_peak;
    parameters += row.parameters;
  }
  CHECK(at_peak == e.peak.allocated);
  CHECK(parameters == e.peak.categories[static_cast<std::size_t>(Category::parameter)]);
  CHECK(e.largest.size() <= 10);
  for (std::size_t i = 1; i < e.largest.size(); ++i) CHECK(e.largest[i].block.size <= e.largest[i - 1].block.size);
  for (const Advice& one : e.advice) {
    CHECK(one.bytes > 0);
    CHECK(one.bytes <= e.peak_reserved.reserved);
  }
}

const Advice* find(const Explanation& e, const std::string& beginning) {
  for (const Advice& one : e.advice) {
    if (one.action.starts_with(beginning)) return &one;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("notes are read as they are written, and anything else is not") {
  const auto output = parse_output_note("output conv2d (8, 64, 112, 112) float32");
  REQUIRE(output);
  CHECK(output->op == "conv2d");
  CHECK(output->note.shape == "(8, 64, 112, 112)");
  CHECK(output->note.dtype == "float32");
  CHECK(output->note.bytes == 25'690'112);
  CHECK(output->note.formula == "8*64*112*112*4 B = 25,690,112");
  const auto scalar = parse_output_note("output mean () bfloat16");
  REQUIRE(scalar);
  CHECK(scalar->note.bytes == 2);
  CHECK(scalar->note.formula == "2 B = 2");
  const auto row = parse_output_note("output sum (3,) bool");
  REQUIRE(row);
  CHECK(row->note.bytes == 3);
  // Known as an output, of bytes that nobody can tell.
  for (const char* text : {"output f (9223372036854775807, 3) float32", "output f (a, b) float32",
                           "output f (-1) float32", "output f (3) float99", "output f (3,4"}) {
    CAPTURE(text);
    const auto strange = parse_output_note(text);
    CHECK((!strange || strange->note.formula == ""));
  }
  const auto plan = parse_plan_note("plan conv2d forward eng46_k2=0 17563664");
  REQUIRE(plan);
  CHECK(plan->op == "conv2d");
  CHECK(plan->note.pass == "forward");
  CHECK(plan->note.algorithm == "eng46_k2=0");
  CHECK(plan->note.workspace == 17'563'664);
  for (const char* text :
       {"", "plan", "plan conv2d forward eng 12x", "plan conv2d forward eng -1", "output", "epoch 3"}) {
    CAPTURE(text);
    CHECK(!parse_plan_note(text));
    CHECK(!parse_output_note(text));
  }
}

TEST_CASE("an explanation on paper") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{}, {.device = "virtual", .context = 7 * MiB});
  const auto hold = [&](Category category, const char* module, const char* op, Bytes bytes) {
    const CategoryScope of(category);
    const ModuleScope in(module);
    const OpScope by(op);
    return device.malloc(bytes);
  };
  {
    const PhaseScope setup(Phase::setup);
    hold(Category::parameter, "a.conv", "init", 1000);
  }
  const StepScope step(1);
  {
    const PhaseScope forward(Phase::forward);
    Block* kept = hold(Category::saved_activation, "a.conv", "conv2d", 12 * MiB);
    {
      const ModuleScope in("a.conv");
      device.allocator.marker("output conv2d (3, 1024, 1024) float32");
      device.allocator.marker("plan conv2d forward eng1 25165824");
    }
    device.free(hold(Category::workspace, "a.conv", "conv2d", 24 * MiB));
    hold(Category::saved_activation, "a.act", "relu", 14 * MiB);
    device.free(kept);
  }
  device.malloc(512);
  const Recording recording = recorder.recording();
  const Explanation e = explain(recording);
  check_sums(e, recording);

  // The peak: a block of 1024, 12 MiB and 24 MiB.
  CHECK(e.peak.allocated == 1024 + 12 * MiB + 24 * MiB);
  CHECK(e.peak.op == "conv2d");
  CHECK(e.peak.step == 1);
  CHECK(e.peak.rounding() == 24);
  REQUIRE(e.layers.size() == 2);
  const LayerRow& conv = e.layers[0];
  CHECK(conv.module == "a.conv");
  CHECK(conv.op == "conv2d");
  CHECK(conv.output.formula == "3*1024*1024*4 B = 12,582,912");
  CHECK(conv.output.measured == 12 * MiB);
  CHECK(conv.parameters == 1024);
  CHECK(conv.saved == 12 * MiB);
  CHECK(conv.workspace == 24 * MiB);
  CHECK(conv.algorithm == "forward eng1");
  CHECK(conv.at_peak == e.peak.allocated);
  CHECK(e.layers[1].saved == 14 * MiB);
  CHECK(e.layers[1].at_peak == 0);

  REQUIRE(e.largest.size() == 3);
  CHECK(e.largest[0].block.tag.category == Category::workspace);
  CHECK(e.largest[0].until == e.largest[0].block.since + 1);
  CHECK(e.largest[1].module == "a.conv");
  CHECK(e.largest[1].freed == Phase::forward);
  CHECK(e.largest[2].until == -1);
  CHECK(e.largest[2].made == Phase::setup);

  // Without workspace the highest moment is that of both activations: 1024 + 26 MiB.
  const Advice* workspace = find(e, "limit the workspaces");
  REQUIRE(workspace);
  CHECK(workspace->bytes == 10 * MiB);
  CHECK(workspace->evidence.find("24.00 MiB of workspace, of a.conv conv2d") != std::string::npos);
  CHECK(find(e, "an optimizer without state") == nullptr);
  // Half of everything but the workspace: 24 MiB and half of 12 MiB + 1024 stay.
  const Advice* half = find(e, "half precision");
  REQUIRE(half);
  CHECK(half->bytes == 6 * MiB + 512);
  CHECK(paragraph(e).find("Allocated memory peaks at 36.00 MiB in step 1, forward: conv2d of a.conv") == 0);
}

// A program that an exception ends which nobody catches leaves what was written until then. It said "Nothing was
// allocated." and no more.
TEST_CASE("an explanation says that its recording was cut off, also where nothing is left of it") {
  const TemporaryFolder folder;
  VirtualDevice device;
  Recorder recorder = record(device.allocator, folder / "run.mnemo");
  Block* block = device.malloc(MiB);
  const auto text = [&] { return paragraph(explain(Recording::read(folder / "run.mnemo"))); };
  CHECK(text() == "Nothing was allocated. The recording is not whole: it lacks its oldest events or its end.");
  recorder.stop();
  CHECK(text().find("peaks at 1.00 MiB") != std::string::npos);
  CHECK(text().find("not whole") == std::string::npos);
  device.free(block);
}

TEST_CASE("a checkpoint is worth nothing where backward makes the peak") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  const StepScope step(1);
  std::vector<Block*> saved;
  for (const char* module : {"a.0", "a.1", "b.0", "b.1"}) {
    const CategoryScope category(Category::saved_activation);
    const ModuleScope in(module);
    const OpScope by("conv2d");
    saved.push_back(device.malloc(10 * MiB));
  }
  // Backward of b: 40 MiB saved and 10 more; a is not needed yet.
  const PhaseScope backward(Phase::backward);
  const ModuleScope in("b.1");
  const OpScope by("conv2d");
  const CategoryScope category(Category::temporary);
  device.malloc(10 * MiB);
  const Explanation e = explain(recorder.recording());
  REQUIRE(find(e, "checkpoint a"));
  CHECK(find(e, "checkpoint a")->bytes == 20 * MiB);
  // In backward b has all of its own again; it is the highest moment still.
  CHECK(find(e, "checkpoint b") == nullptr);
  CHECK(find(e, "checkpoint every")->bytes == 20 * MiB);
}

TEST_CASE("what steps that are over still hold is found, with their number and who holds most") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  const CategoryScope parameter(Category::parameter);
  device.malloc(10 * MiB);
  const auto step = [&](std::int64_t number, Bytes kept) {
    const StepScope scope(number);
    const CategoryScope category(Category::saved_activation);
    const ModuleScope in("a.conv");
    const OpScope by("conv2d");
    Block* dropped = device.malloc(8 * MiB);
    if (kept > 0) device.malloc(kept);
    const OpScope norm("batch_norm");
    if (kept > 0) device.malloc(1 * MiB);
    device.free(dropped);
  };
  step(1, 0);
  step(2, 0);
  CHECK(explain(recorder.recording()).held_steps.bytes == 0);
  step(3, 4 * MiB);
  step(4, 0);
  // In step 4 that of step 3, and in step 6 that of 3 and 5.
  const Explanation once = explain(recorder.recording());
  CHECK(once.held_steps.count == 1);
  CHECK(once.held_steps.text() ==
        "In step 4, 5.00 MiB of activations that step 3 saved for backward, most of them by a.conv conv2d, are still "
        "held: a variable keeps that step's graph. Let losses and outputs go out of scope before the next step begins, "
        "or compute without recording (NoGradScope) what is not trained");
  step(5, 3 * MiB);
  step(6, 2 * MiB);
  const Explanation e = explain(recorder.recording());
  CHECK(e.held_steps.bytes == 9 * MiB);
  CHECK(e.held_steps.step == 6);
  CHECK(e.held_steps.first == 3);
  CHECK(e.held_steps.last == 5);
  CHECK(e.held_steps.count == 2);
  CHECK(e.held_steps.module == "a.conv");
  CHECK(e.held_steps.op == "conv2d");
  CHECK(paragraph(e).find("The graph grows over steps: in step 6, 9.00 MiB") != std::string::npos);
  // The peak is 10 of parameters, 9 of steps 3 and 5, and 11 of step 6; without the 9 step 3 was highest: 10 + 8 + 4
  // + 1.
  CHECK(e.peak.allocated == 30 * MiB);
  const Advice* advice = find(e, "let go of the graphs of earlier steps");
  REQUIRE(advice);
  CHECK(advice->bytes == 30 * MiB - (10 + 8 + 4 + 1) * MiB);
  // What is next to nothing beside the peak is a loss that a variable has.
  device.malloc(1000 * MiB);
  CHECK(explain(recorder.recording()).held_steps.bytes == 0);
}

TEST_CASE("explanations of random workloads reconcile") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:32,roundup_power2_divisions:4"}) {
    CAPTURE(options);
    RecordedWorkload workload(options, 300 * MiB);
    for (const int operations : {0, 50, 1000}) {
      const Recorder recorder = record(workload.allocator(), Ring{});
      workload.run(operations);
      const Recording recording = recorder.recording();
      const Explanation e = explain(recording);
      CHECK(!e.context_known);
      check_sums(e, recording);
      CHECK(paragraph(e) != "");
    }
  }
}
