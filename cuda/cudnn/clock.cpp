// The time of cuDNN's plans on a device: two runs that do not count, then the median of five; of a slow plan the second
// run, which is measured well enough.
#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/cudnn/session.h>
#include <mnemo/cuda/device/check.h>
#include <mnemo/cuda/device/conv_runner.h>

namespace mnemo::cuda {

namespace {

constexpr int kRuns = 5;
constexpr double kSlow = 0.02;  ///< seconds; some plans take many times as long as the best

/// Memory beside the allocator's, since these operands are nobody's: zeros, so that no run meets numbers that are slow.
class Zeros {
 public:
  Zeros(memory::Bytes bytes, cudaStream_t stream) {
    if (bytes == 0) return;
    if (cudaMalloc(&data_, static_cast<std::size_t>(bytes)) != cudaSuccess) {
      cudaGetLastError();
      data_ = nullptr;
      missing_ = true;
      return;
    }
    report(cudaMemsetAsync(data_, 0, static_cast<std::size_t>(bytes), stream), "clearing memory");
  }
  ~Zeros() {
    if (data_ != nullptr) report(cudaFree(data_), "freeing memory");
  }
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;

  void* data() const { return data_; }
  bool is_missing() const { return missing_; }

 private:
  void* data_ = nullptr;
  bool missing_ = false;
};

/// A stream and the events around each run.
class Stopwatch {
 public:
  Stopwatch() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t& event : events_) check(cudaEventCreateWithFlags(&event, cudaEventDefault), "making an event");
  }
  ~Stopwatch() {
    for (cudaEvent_t event : events_) {
      if (event != nullptr) report(cudaEventDestroy(event), "destroying an event");
    }
    report(cudaStreamDestroy(stream_), "destroying a stream");
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  cudaStream_t stream() const { return stream_; }

  template <class Run>
  double median_seconds(const Run& run) {
    run();
    const double second = time_runs(run, 1)[0];
    if (second >= kSlow) return second;
    std::vector<double> seconds = time_runs(run, kRuns);
    std::sort(seconds.begin(), seconds.end());
    return seconds[kRuns / 2];
  }

 private:
  /// Of each of so many runs in a row.
  template <class Run>
  std::vector<double> time_runs(const Run& run, std::size_t count) {
    for (std::size_t i = 0; i <= count; ++i) {
      check(cudaEventRecord(events_[i], stream_), "marking a time");
      if (i < count) run();
    }
    check(cudaStreamSynchronize(stream_), "waiting for what is timed");
    std::vector<double> seconds;
    for (std::size_t i = 0; i < count; ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events_[i], events_[i + 1]), "reading a time");
      seconds.push_back(static_cast<double>(milliseconds) / 1e3);
    }
    return seconds;
  }

  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kRuns + 1> events_{};
};

memory::Bytes bytes_of(const std::vector<std::int64_t>& sizes, DType dtype) {
  memory::Bytes bytes = size_of(dtype);
  for (const std::int64_t size : sizes) bytes *= size;
  return bytes;
}

class CudnnClock final : public PlanClock {
 public:
  explicit CudnnClock(int device) : device_(device) {}

  std::optional<double> seconds(const ConvQuery& query, const EnginePlan& plan) override {
    const std::lock_guard lock(mutex_);
    check(cudaSetDevice(device_), "choosing the device");
    try {
      if (!session_) session_ = std::make_unique<Session>(device_);
      ExecutionPlan built = session_->plan(query, plan.engine, plan.workspace);
      if (!watch_) watch_.emplace();
      Stopwatch& watch = *watch_;
      const Zeros x(bytes_of(input_sizes(query.problem), query.problem.dtype), watch.stream());
      const Zeros w(bytes_of(weight_sizes(query.problem), query.problem.dtype), watch.stream());
      const Zeros y(bytes_of(output_sizes(query.problem), query.problem.dtype), watch.stream());
      const Zeros workspace(plan.workspace, watch.stream());
      if (x.is_missing() || w.is_missing() || y.is_missing() || workspace.is_missing()) return std::nullopt;
      const Operands operands{x.data(), w.data(), y.data(), workspace.data()};
      return watch.median_seconds([&] { session_->run(watch.stream(), built, operands); });
    } catch (const CudaError&) {
      if (is_sticky(cudaPeekAtLastError())) throw;
      cudaGetLastError();   // no error of the next call
      return std::nullopt;  // an engine that was ranked, and does not run here: the others are timed all the same
    }
  }

 private:
  int device_;
  std::mutex mutex_;
  std::optional<Stopwatch> watch_;  ///< outlives the session, whose stream it has
  std::unique_ptr<Session> session_;
};

}  // namespace

std::shared_ptr<PlanClock> open_plan_clock(int device) { return std::make_shared<CudnnClock>(device); }

}  // namespace mnemo::cuda
