// Which batch sizes fit into a device's memory: not only the largest one, since memory need not rise with the batch.
//
//   const FittingBatches found = fitting_batches({.device = "virtual:a100-40gb"}, [](std::int64_t batch) {
//     Net net;
//     optim::Adam optimizer(net.parameters());
//     for (int step = 0; step < 2; ++step) train(net, optimizer, randn({batch, 3, 224, 224}));
//   });
//   found.largest();
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/core/dry_run.h>

namespace mnemo {

struct BatchSearch {
  std::string device;  ///< a virtual device with a capacity, such as "virtual:h200" or "virtual:24GiB"
  memory::AllocatorConfig config = memory::AllocatorConfig::from_environment();
  std::int64_t limit = 1 << 20;    ///< no larger batch is looked at
  std::int64_t exhaustive = 2048;  ///< up to here every batch is tried; beyond, every n-th, and both sides of a change
  int threads = 0;                 ///< dry runs at a time; 0: as many as the CPU backend uses
  std::function<void(std::int64_t done, std::int64_t of)> progress = {};  ///< called now and then, on one thread
};

struct BatchRange {
  std::int64_t first = 0, last = 0;

  bool operator==(const BatchRange&) const = default;
};

/// A batch size that does not fit, and why.
struct BatchFailure {
  std::int64_t batch = 0;
  std::optional<OutOfMemory::Details> memory = {};  ///< nothing when the program refuses the batch size
  std::string reason;                               ///< the error's text
};

struct FittingBatches {
  std::vector<BatchRange> fits;  ///< ascending, none touching the next
  std::optional<BatchFailure> first_failure;
  bool exact = true;       ///< every batch size was tried that what the program needs besides workspaces allows
  std::int64_t limit = 0;  ///< the smallest batch size known not to fit, with all above it; 0: there is none up to
                           ///< BatchSearch::limit
  std::int64_t dry_runs = 0;
  double seconds = 0;

  /// 0 when none fits.
  std::int64_t largest() const { return fits.empty() ? 0 : fits.back().last; }
};

/// Tries batch sizes from 1 on by dry runs of `program(batch)`, which makes a model on the current device and trains it
/// for as many steps as the real program's memory needs to settle (two, with an optimizer that makes its state in the
/// first). It is run on several threads at once. The search ends where what the program needs besides workspaces is
/// more than the device has, which is taken to rise with the batch. A batch that the program refuses with a ShapeError
/// does not fit. Throws DeviceError for a device without a capacity, and whatever else `program` throws.
FittingBatches fitting_batches(const BatchSearch& search, const std::function<void(std::int64_t batch)>& program);

/// The largest batch size that fits; 0 when none does.
std::int64_t largest_batch(const BatchSearch& search, const std::function<void(std::int64_t batch)>& program);

}  // namespace mnemo
