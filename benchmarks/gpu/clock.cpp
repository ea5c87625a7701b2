#include "clock.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include <mnemo/core/backend.h>

namespace mnemo::bench {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Repeat {
  double queued = 0, done = 0;
};

Repeat repeat(Backend& backend, int runs, const std::function<void()>& work) {
  backend.synchronize();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < runs; ++i) work();
  const double queued = seconds_since(start);
  backend.synchronize();
  return {queued / runs, seconds_since(start) / runs};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Times measure(const Device& device, const ClockOptions& options, const std::function<void()>& work) {
  Backend& backend = device.backend();
  for (int i = 0; i < 3; ++i) work();
  // Growing until a repeat is long enough also brings the clocks of an idle device up.
  int runs = 1;
  for (;;) {
    const double seconds = repeat(backend, runs, work).done * runs;
    if (seconds >= options.least_seconds || runs >= options.most_runs) break;
    const double wanted = std::ceil(runs * 1.2 * options.least_seconds / std::max(seconds, 1e-9));
    runs = static_cast<int>(std::clamp(wanted, runs * 1.0 + 1, options.most_runs * 1.0));
  }
  std::vector<double> done, queued;
  for (int i = 0; i < options.repeats; ++i) {
    const Repeat one = repeat(backend, runs, work);
    done.push_back(one.done);
    queued.push_back(one.queued);
  }
  return {median(done), *std::min_element(done.begin(), done.end()), median(queued), runs, options.repeats};
}

}  // namespace mnemo::bench
