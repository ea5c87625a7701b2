// The batch sizes that fit, of programs whose memory is known on paper.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/batch_search.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>

using namespace mnemo;
using memory::GiB;
using memory::MiB;

namespace {

Array megabytes(std::int64_t count, memory::Category category) {
  const memory::CategoryScope scope(category);
  return Array({count * MiB / 4}, DType::float32);
}

/// 20 MiB of parameters and 2 MiB for each of the batch (from 5 on in a segment of their own), and 40 MiB of workspace
/// for odd batches beyond 10.
void sawtooth(std::int64_t batch) {
  const Array parameters = megabytes(20, memory::Category::parameter);
  const Array activations = megabytes(2 * batch, memory::Category::live_activation);
  if (batch % 2 == 1 && batch > 10) static_cast<void>(megabytes(40, memory::Category::workspace));
}

}  // namespace

TEST_CASE("batch search: every batch that fits, where larger ones fit again") {
  const FittingBatches found = fitting_batches({.device = "virtual:120MiB"}, sawtooth);
  // Even batches fit up to 50 (20 + 2 * 50 MiB), odd ones up to 30 (20 + 2 * 30 + 40).
  std::vector<BatchRange> expected{{1, 30}};
  for (std::int64_t batch = 32; batch <= 50; batch += 2) expected.push_back({batch, batch});
  CHECK(found.fits == expected);
  CHECK(found.largest() == 50);
  CHECK(found.exact);
  CHECK(found.limit == 51);
  CHECK(found.dry_runs >= 50);
  REQUIRE(found.first_failure.has_value());
  CHECK(found.first_failure->batch == 31);
  REQUIRE(found.first_failure->memory.has_value());
  CHECK(found.first_failure->memory->requested == 40 * MiB);
  CHECK(found.first_failure->memory->tag.category == memory::Category::workspace);
  CHECK(found.first_failure->reason.find("out of memory") != std::string::npos);
}

TEST_CASE("batch search: the number of threads changes nothing") {
  FittingBatches first;
  for (const int threads : {1, 2, 5}) {
    const FittingBatches found = fitting_batches({.device = "virtual:120MiB", .threads = threads}, sawtooth);
    if (threads == 1) first = found;
    CHECK(found.fits == first.fits);
    CHECK(found.first_failure->batch == 31);
  }
}

TEST_CASE("batch search: nothing fits, everything fits up to the limit, or a limit is set") {
  const FittingBatches none = fitting_batches({.device = "virtual:21MiB"}, sawtooth);
  CHECK(none.fits.empty());
  CHECK(none.largest() == 0);
  CHECK(none.first_failure->batch == 1);

  const FittingBatches some = fitting_batches({.device = "virtual:120MiB", .limit = 8}, sawtooth);
  CHECK(some.fits == std::vector<BatchRange>{{1, 8}});
  CHECK(some.limit == 0);
  CHECK_FALSE(some.first_failure.has_value());
}

TEST_CASE("batch search: a batch that the program refuses does not fit, and says why") {
  const auto program = [](std::int64_t batch) {
    if (batch == 1) throw ShapeError("[batch_norm] one value for each channel has no variance");
    sawtooth(batch);
  };
  const FittingBatches found = fitting_batches({.device = "virtual:120MiB", .limit = 20}, program);
  CHECK(found.fits == std::vector<BatchRange>{{2, 20}});
  CHECK(found.first_failure->batch == 1);
  CHECK_FALSE(found.first_failure->memory.has_value());
  CHECK(found.first_failure->reason.find("no variance") != std::string::npos);
}

TEST_CASE("batch search: beyond the exhaustive part changes are found to the batch, and the answer says so") {
  // 1 MiB for each of the batch, and from 701 to 800 as much again for a workspace: 1000 MiB hold 1000 without it.
  const auto program = [](std::int64_t batch) {
    const Array activations = megabytes(2 * ((batch + 1) / 2), memory::Category::live_activation);
    if (batch > 700 && batch <= 800) static_cast<void>(megabytes(400, memory::Category::workspace));
  };
  const FittingBatches found = fitting_batches({.device = "virtual:1000MiB", .exhaustive = 50}, program);
  CHECK(found.fits == std::vector<BatchRange>{{1, 700}, {801, 1000}});
  CHECK_FALSE(found.exact);
  CHECK(found.dry_runs < 120);
}

TEST_CASE("batch search: errors go through, and nothing is left behind") {
  const RandomState before = random_state();
  CHECK_THROWS_AS(fitting_batches({.device = "cpu"}, sawtooth), DeviceError);
  CHECK_THROWS_AS(fitting_batches({.device = "virtual:cpu"}, sawtooth), DeviceError);
  CHECK_THROWS_AS(
      fitting_batches({.device = "virtual:120MiB", .threads = 3}, [](std::int64_t) { throw GradError("no"); }),
      GradError);
  static_cast<void>(fitting_batches({.device = "virtual:120MiB"}, [](std::int64_t batch) {
    take_random(batch);
    sawtooth(batch);
  }));
  CHECK(random_state().offset == before.offset);
  CHECK(Device().name() == "cpu");
}

TEST_CASE("dry run: what a program needs besides its workspaces") {
  const DryRun run = dry_run("virtual:1GiB", [] { sawtooth(11); });
  CHECK(run.fits());
  CHECK(run.needed == 42 * MiB);
  CHECK(run.peak_allocated == 82 * MiB);
  CHECK(run.peak_reserved == 82 * MiB);
  const DryRun failed = dry_run("virtual:60MiB", [] { sawtooth(11); });
  CHECK_FALSE(failed.fits());
  CHECK(failed.failure->details().requested == 40 * MiB);
}

TEST_CASE("dry run: its random numbers are its own, whatever other threads take") {
  const RandomState before = random_state();
  static_cast<void>(fitting_batches({.device = "virtual:120MiB", .threads = 4}, [&](std::int64_t batch) {
    CHECK(random_state().offset == before.offset);
    for (int i = 0; i < 100; ++i) {
      const RandomState state = random_state();
      CHECK(take_random(8).offset == state.offset);
      CHECK(random_state().offset == state.offset + 8);
    }
    sawtooth(batch);
  }));
  CHECK(random_state().offset == before.offset);
}

TEST_CASE("a dry run's peaks are those of all of it, also where the program has peaks counted anew") {
  const DryRun run = dry_run("virtual:1GiB", [] {
    {
      const Array large(Shape{100 * MiB}, DType::uint8, Device());
    }
    Device().allocator().empty_cache();
    Device().allocator().reset_peak();
    const Array small(Shape{40 * MiB}, DType::uint8, Device());
  });
  CHECK(run.peak_allocated == 100 * MiB);
  CHECK(run.peak_reserved == 100 * MiB);
}
