#include <mnemo/core/threads.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

constexpr int kMaxThreads = 1024;
// About 20 microseconds: long enough to bridge the gap between two operations of a small net, short enough to waste no
// core.
constexpr int kSpins = 1000;

// Set while this thread executes chunks of a parallel job: what it calls runs on it alone.
thread_local bool inside_job = false;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Waits until `value` is no longer `old`: spins, then sleeps.
std::uint32_t wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause_briefly();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

int initial_thread_count() {
  const char* text = std::getenv("MNEMO_THREADS");
  if (text == nullptr || *text == '\0') {
    return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
  }
  int count = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, count);
  if (error != std::errc{} || rest != end || count < 1 || count > kMaxThreads) {
    throw ConfigError(std::string("MNEMO_THREADS is \"") + text + "\"; it must be a number from 1 to 1024");
  }
  return count;
}

/// The worker threads. One job at a time; a caller that finds the pool busy does its work alone.
class Pool {
 public:
  Pool() : wanted_(initial_thread_count()) {}
  ~Pool() { stop_workers(); }

  int size() const { return wanted_.load(std::memory_order_relaxed); }
  // Takes effect at the next job, so that it may be called from anywhere, even from within one.
  void resize(int count) { wanted_.store(count, std::memory_order_relaxed); }

  /// False when another thread's job is running: nothing was done.
  bool run(std::int64_t count, std::int64_t grain, const ChunkBody& body) {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return false;
    adjust_workers();
    body_ = &body;
    count_ = count;
    grain_ = grain;
    chunks_ = (count - 1) / grain + 1;
    next_.store(0, std::memory_order_relaxed);
    error_ = nullptr;

    inside_.store(0, std::memory_order_release);  // open: publishes the lines above to workers that enter
    generation_.fetch_add(1, std::memory_order_release);
    const auto workers = static_cast<std::int64_t>(workers_.size());
    if (chunks_ - 1 >= workers) {
      generation_.notify_all();
    } else {
      for (std::int64_t i = 0; i < chunks_ - 1; ++i) generation_.notify_one();
    }
    take_chunks();

    // A worker that wakes too late finds the job closed and is not waited for.
    std::uint32_t now = inside_.fetch_or(kClosed, std::memory_order_acq_rel) | kClosed;
    while (now != kClosed) now = wait_while(inside_, now);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  static constexpr std::uint32_t kClosed = 1u << 31;

  void take_chunks() {
    inside_job = true;
    for (;;) {
      const std::int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= chunks_) break;
      const std::int64_t begin = chunk * grain_;
      try {
        (*body_)(begin, begin + std::min(grain_, count_ - begin));
      } catch (...) {
        const std::lock_guard lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(chunks_, std::memory_order_relaxed);  // the rest would be thrown away
      }
    }
    inside_job = false;
  }

  void work(std::uint32_t seen) {
    for (;;) {
      seen = wait_while(generation_, seen);
      if (stopping_.load(std::memory_order_acquire)) return;
      std::uint32_t inside = inside_.load(std::memory_order_relaxed);
      while ((inside & kClosed) == 0 && !inside_.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire)) {
      }
      if ((inside & kClosed) != 0) continue;
      take_chunks();
      if (inside_.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) inside_.notify_one();
    }
  }

  // REQUIRES: busy_ is held.
  void adjust_workers() {
    const auto wanted = static_cast<std::size_t>(size() - 1);
    if (workers_.size() > wanted) stop_workers();
    const std::uint32_t seen = generation_.load(std::memory_order_relaxed);
    try {
      while (workers_.size() < wanted) workers_.emplace_back(&Pool::work, this, seen);
    } catch (const std::exception&) {  // no thread or no memory for one: those that are there do the work
    }
  }

  void stop_workers() {
    stopping_.store(true, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_.store(false, std::memory_order_release);
  }

  std::mutex busy_;
  std::vector<std::thread> workers_;
  std::atomic<int> wanted_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint32_t> generation_{0};    // changes with every job: what idle workers wait for
  std::atomic<std::uint32_t> inside_{kClosed};  // workers in the job, and whether more may enter

  // The job.
  const ChunkBody* body_ = nullptr;
  std::int64_t count_ = 0, grain_ = 1, chunks_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

Pool& pool() {
  static Pool instance;
  return instance;
}

}  // namespace

int thread_count() { return pool().size(); }

void set_thread_count(int count) {
  if (count < 1 || count > kMaxThreads) {
    throw ConfigError("[set_thread_count] " + std::to_string(count) + " is not a number of threads from 1 to 1024");
  }
  pool().resize(count);
}

void run_chunks(std::int64_t count, std::int64_t grain, const ChunkBody& body) {
  if (count <= 0) return;
  if (count > grain && !inside_job && thread_count() > 1 && pool().run(count, grain, body)) return;
  for (std::int64_t begin = 0; begin < count;) {
    const std::int64_t end = begin + std::min(grain, count - begin);
    body(begin, end);
    begin = end;
  }
}

}  // namespace mnemo
