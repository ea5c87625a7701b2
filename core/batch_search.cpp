#include <mnemo/core/batch_search.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/threads.h>

namespace mnemo {

namespace {

using Program = std::function<void(std::int64_t)>;

class Search {
 public:
  Search(const BatchSearch& search, const Program& program) : search_(search), program_(program) {
    const Device device = Device::open(search.device, search.config);
    available_ = device.allocator().source().free_bytes();
    if (!device.is_virtual() || device.allocator().source().capacity() <= 0) {
      throw DeviceError(fmt::format(
          "[fitting_batches] {} is not a virtual device with a capacity; write virtual:CARD, virtual:CARD,SIZE or "
          "virtual:SIZE, such as virtual:24GiB",
          search.device));
    }
  }

  FittingBatches run() {
    const auto start = std::chrono::steady_clock::now();
    FittingBatches found;
    const std::int64_t limit = too_large();
    found.limit = limit > search_.limit ? 0 : limit;
    const std::int64_t count = limit - 1;
    const std::int64_t step = std::max<std::int64_t>(1, (count + search_.exhaustive - 1) / search_.exhaustive);
    found.exact = step == 1;
    std::vector<std::int64_t> batches;
    for (std::int64_t batch = 1; batch <= count; batch += step) batches.push_back(batch);
    if (count > 0 && batches.back() != count) batches.push_back(count);
    try_all(batches);
    if (step > 1) refine();
    collect(found);
    if (!found.first_failure && found.limit > 0) {  // what ended the search is the first failure
      try_all({found.limit});
      found.first_failure = failures_.begin()->second;
    }
    found.dry_runs = dry_runs_;
    found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return found;
  }

 private:
  /// The smallest batch that needs more than there is even without workspaces; limit + 1 when there is none.
  std::int64_t too_large() {
    const std::string roomy = without_limit(search_.device);
    const auto fits = [&](std::int64_t batch) {
      ++dry_runs_;
      try {
        return dry_run(
                   roomy, [&] { program_(batch); }, search_.config)
                   .needed <= available_;
      } catch (const ShapeError&) {
        return true;  // refused, whatever it would need
      }
    };
    std::int64_t good = 0, bad = 1;
    while (fits(bad)) {
      good = bad;
      if (bad == search_.limit) return search_.limit + 1;
      bad = std::min(2 * bad, search_.limit);
    }
    while (bad - good > 1) {
      const std::int64_t middle = good + (bad - good) / 2;
      (fits(middle) ? good : bad) = middle;
    }
    return bad;
  }

  void try_one(std::int64_t batch) {
    std::optional<BatchFailure> failure;
    try {
      const DryRun run = dry_run(
          search_.device, [&] { program_(batch); }, search_.config);
      if (run.failure) failure = BatchFailure{batch, run.failure->details(), run.failure->what()};
    } catch (const ShapeError& error) {
      failure = BatchFailure{batch, std::nullopt, error.what()};
    }
    const std::lock_guard lock(mutex_);
    ++dry_runs_;
    tried_[batch] = !failure;
    if (failure) failures_.emplace(batch, *std::move(failure));
  }

  void try_all(const std::vector<std::int64_t>& batches) {
    const int wanted = search_.threads > 0 ? search_.threads : thread_count();
    const auto threads = std::min<std::size_t>(static_cast<std::size_t>(wanted), batches.size());
    std::atomic<std::size_t> next{0};
    std::exception_ptr error;
    const auto work = [&](bool tells) {
      for (std::size_t i = 0; (i = next.fetch_add(1)) < batches.size();) {
        try {
          try_one(batches[i]);
        } catch (...) {
          const std::lock_guard lock(mutex_);
          error = std::current_exception();
          next = batches.size();
        }
        if (tells && search_.progress)
          search_.progress(static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(batches.size()));
      }
    };
    std::vector<std::jthread> workers;
    for (std::size_t i = 1; i < threads; ++i) workers.emplace_back(work, false);
    work(true);
    workers.clear();
    if (error) std::rethrow_exception(error);
  }

  /// Between two neighbours of which one fits, the place of the change.
  void refine() {
    for (auto place = tried_.begin(); std::next(place) != tried_.end();) {
      const auto next = std::next(place);
      const std::int64_t between = next->first - place->first;
      if (place->second == next->second || between == 1) {
        ++place;
        continue;
      }
      try_one(place->first + between / 2);
    }
  }

  void collect(FittingBatches& found) const {
    bool fitted = false;
    for (const auto& [batch, fits] : tried_) {
      // Between two that were tried and fit, those that were not count as fitting.
      if (fits && fitted)
        found.fits.back().last = batch;
      else if (fits)
        found.fits.push_back({batch, batch});
      fitted = fits;
    }
    if (!failures_.empty()) found.first_failure = failures_.begin()->second;
  }

  const BatchSearch& search_;
  const Program& program_;
  memory::Bytes available_ = 0;  ///< beside the context
  std::mutex mutex_;
  std::int64_t dry_runs_ = 0;
  std::map<std::int64_t, bool> tried_;
  std::map<std::int64_t, BatchFailure> failures_;
};

}  // namespace

FittingBatches fitting_batches(const BatchSearch& search, const std::function<void(std::int64_t)>& program) {
  return Search(search, program).run();
}

std::int64_t largest_batch(const BatchSearch& search, const std::function<void(std::int64_t)>& program) {
  return fitting_batches(search, program).largest();
}

}  // namespace mnemo
