// Advice: what it is worth on paper, and where it is none.
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

const std::string kGrow = "let segments grow";

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
