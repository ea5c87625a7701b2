// Advice: what it is worth on paper, and where it is none.
#include <initializer_list>
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <mnemo/memory/explanation.h>
#include <mnemo/memory/recorder.h>

#include "memory/virtual_device.h"

using namespace mnemo::memory;

namespace {

/// A program that allocates on a virtual device, under a recorder.
struct Program {
  Block* hold(Category category, const char* module, const char* op, Bytes bytes) {
    const CategoryScope of(category);
    const ModuleScope in(module);
    const OpScope by(op);
    return device.malloc(bytes);
  }
  void note(const char* module, const char* text) {
    const ModuleScope in(module);
    device.allocator.marker(text);
  }
  /// What the advice that begins so is worth; 0: it is not given.
  Bytes worth(const std::string& beginning) const {
    for (const Advice& one : explain(recorder.recording()).advice) {
      if (one.action.starts_with(beginning)) return one.bytes;
    }
    return 0;
  }

  VirtualDevice device;
  Recorder recorder = record(device.allocator, Ring{});
};

const std::string kGrow = "let segments grow", kStateless = "an optimizer without state",
                  kCoded = "optimizer state in 8 bits", kHalf = "half precision", kInBackward = "update each parameter";

}  // namespace

TEST_CASE("segments that grow are advised with what they spare") {
  Program growing;
  for (Bytes size = 40; size <= 80; size += 4)
    growing.device.free(growing.hold(Category::temporary, "", "op", size * MiB));
  // Segments of 40, 44, ... 80 MiB are 660; one that grows by pages of 20 MiB ends at 80.
  CHECK(growing.worth(kGrow) == 580 * MiB);
  for (const Advice& one : explain(growing.recorder.recording()).advice)
    CHECK(one.measured == one.action.starts_with(kGrow));
}

// It was said to spare what is reserved and not allocated.
TEST_CASE("segments that grow are not advised where they spare nothing") {
  Program small;
  small.hold(Category::parameter, "", "op", 512);
  small.hold(Category::parameter, "", "op", 3 * MiB / 2);
  // 2 MiB for small blocks and 20 for large ones, which is also what the first pages of each have.
  CHECK(small.device.reserved() == 22 * MiB);
  CHECK(small.worth(kGrow) == 0);
  Program own;
  own.hold(Category::parameter, "", "op", 21 * MiB);
  own.hold(Category::parameter, "", "op", 512);
  // A segment of its own has 22 MiB; two pages would have 40.
  CHECK(own.device.reserved() == 24 * MiB);
  CHECK(own.worth(kGrow) == 0);
}

TEST_CASE("optimizer state is what it is by its size: moments, codes, and copies of half parameters, which stay") {
  const auto with_state = [](Bytes parameter, std::initializer_list<Bytes> state) {
    auto program = std::make_unique<Program>();
    program->hold(Category::parameter, "fc", "init", parameter);
    for (const Bytes bytes : state) program->hold(Category::optimizer_state, "fc", "update", bytes);
    return program;
  };
  const auto adam = with_state(4 * MiB, {4 * MiB, 4 * MiB});
  CHECK(adam->worth(kStateless) == 8 * MiB);
  CHECK(adam->worth(kCoded) == 6 * MiB);
  // A byte per value of four, and a float32 for each 256 of them.
  const auto coded = with_state(4 * MiB, {MiB, 16 * KiB, MiB, 16 * KiB});
  CHECK(coded->worth(kStateless) == 2 * MiB + 32 * KiB);
  CHECK(coded->worth(kCoded) == 0);
  // A small parameter's moments are left in float32.
  coded->hold(Category::parameter, "norm", "init", 256);
  for (int moment = 0; moment < 2; ++moment) coded->hold(Category::optimizer_state, "norm", "update", 256);
  CHECK(coded->worth(kStateless) == 2 * MiB + 33 * KiB);
  CHECK(coded->worth(kCoded) == 0);
  const auto copied = with_state(2 * MiB, {4 * MiB});
  CHECK(copied->worth(kStateless) == 0);
  CHECK(copied->worth(kCoded) == 0);
  const auto copied_adam = with_state(2 * MiB, {4 * MiB, 4 * MiB, 4 * MiB});
  CHECK(copied_adam->worth(kStateless) == 8 * MiB);
  CHECK(copied_adam->worth(kCoded) == 6 * MiB);
}

TEST_CASE("half precision is advised where all values are in full, and halves no codes") {
  Program full;
  full.hold(Category::parameter, "fc", "init", 4 * MiB);
  full.hold(Category::optimizer_state, "fc", "update", MiB);
  full.note("fc", "output linear (1024, 1024) float32");
  CHECK(full.worth(kHalf) == 2 * MiB);
  full.note("act", "output relu (1024, 1024) bfloat16");
  CHECK(full.worth(kHalf) == 0);
}

TEST_CASE("workspaces are limited of convolutions, not of matrix products") {
  Program program;
  program.hold(Category::parameter, "fc", "init", 4 * MiB);
  program.hold(Category::workspace, "fc", "linear", 32 * MiB);
  CHECK(program.worth("limit") == 0);
  program.note("conv", "plan conv2d forward eng1 8388608");
  program.hold(Category::workspace, "conv", "conv2d", 8 * MiB);
  CHECK(program.worth("limit") == 8 * MiB);
}

TEST_CASE("a step in backward is not advised where gradients are added up") {
  const auto pass = [](Program& program, std::int64_t step, Bytes gradients) {
    const StepScope scope(step);
    Block* saved;
    {
      const PhaseScope forward(Phase::forward);
      saved = program.hold(Category::saved_activation, "fc", "linear", MiB);
    }
    const PhaseScope backward(Phase::backward);
    Block* gradient = gradients > 0 ? program.hold(Category::gradient, "fc", "linear", gradients) : nullptr;
    program.device.free(saved);
    return gradient;
  };
  Program plain, accumulating;
  plain.device.free(pass(plain, 1, 4 * MiB));
  pass(plain, 2, 4 * MiB);
  CHECK(plain.worth(kInBackward) == 4 * MiB);
  pass(accumulating, 1, 4 * MiB);
  pass(accumulating, 1, 0);
  CHECK(accumulating.worth(kInBackward) == 0);
}
