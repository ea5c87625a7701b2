// Account: who holds memory at one moment, with sums that reconcile.
#include <mnemo/memory/account.h>

#include <doctest/doctest.h>
#include <mnemo/memory/recorder.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"

using namespace mnemo::memory;

namespace {

void check_sums(const Account& account) {
  CategoryBytes categories{};
  Bytes allocated = 0;
  for (const auto& [holder, held] : account.holders) {
    categories[static_cast<std::size_t>(holder.category)] += held.bytes;
    allocated += held.bytes;
    CHECK(held.requested <= held.bytes);
    CHECK(held.count > 0);
  }
  CHECK(allocated == account.allocated);
  CHECK(categories == account.categories);
  CHECK(account.rounding() >= 0);
  CHECK(account.waiting >= 0);
  CHECK(account.cached_segments >= 0);
  CHECK(account.gaps() >= 0);
  CHECK(account.allocated + account.waiting + account.cached_segments + account.gaps() == account.reserved);
}

}  // namespace

TEST_CASE("an account adds up what the same op of the same module holds") {
  VirtualDevice device;
  const Recorder recorder = record(device.allocator, Ring{});
  Block* input = nullptr;
  {
    const StepScope step(3);
    const PhaseScope phase(Phase::forward);
    const OpScope op("conv2d");
    const ModuleScope module("net.conv");
    const CategoryScope category(Category::parameter);
    device.malloc(1000);  // a block of 1024
    device.malloc(500);   // of 512
    const CategoryScope of_input(Category::input);
    input = device.malloc(2 * MiB);  // of its own size, in a segment of 20 MiB
  }
  const Account full = account_at(recorder.recording(), 4);
  CHECK(full.event == 4);
  CHECK(full.step == 3);
  CHECK(full.phase == Phase::forward);
  CHECK(full.op == "conv2d");
  CHECK(full.module == "net.conv");
  CHECK(full.holders.size() == 2);
  const Held parameters = full.holders.at({Category::parameter, "net.conv", "conv2d"});
  CHECK(parameters.bytes == 1536);
  CHECK(parameters.requested == 1500);
  CHECK(parameters.count == 2);
  CHECK(full.allocated == 1536 + 2 * MiB);
  CHECK(full.requested() == 1500 + 2 * MiB);
  CHECK(full.rounding() == 36);
  CHECK(full.reserved == 22 * MiB);
  CHECK(full.cached() == 20 * MiB - 1536);
  CHECK(full.gaps() == full.cached());
  check_sums(full);

  device.free(input);
  const Account less = account_at(recorder.recording(), 1000);  // behind the end: at the end
  CHECK(less.allocated == 1536);
  CHECK(less.cached_segments == 20 * MiB);
  CHECK(less.gaps() == 2 * MiB - 1536);
  check_sums(less);

  const Account nothing = account_at(recorder.recording(), -1);
  CHECK(nothing.event == -1);
  CHECK(nothing.holders.empty());
  check_sums(nothing);
}

TEST_CASE("accounts of a random workload reconcile at every event") {
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:32,roundup_power2_divisions:4"}) {
    CAPTURE(options);
    RecordedWorkload workload(options, 300 * MiB);
    workload.run(100);  // some blocks are alive already
    const Recorder recorder = record(workload.allocator(), Ring{});
    workload.run(1500);
    const Recording recording = recorder.recording();
    Bytes waiting = 0;
    Timeline timeline(recording);
    do {
      const Account account = account_of(timeline);
      CHECK(account.allocated == timeline.allocated());
      CHECK(account.reserved == timeline.reserved());
      check_sums(account);
      waiting += account.waiting;
    } while (timeline.next());
    CHECK(waiting > 0);
  }
}
