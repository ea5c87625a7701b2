// A lock and counters that cost nothing while the process has only one thread: what is taken for every block and every
// event shall not be paid for by programs that never need it.
#pragma once

#include <atomic>
#include <mutex>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

namespace mnemo::memory {

/// Whether no other thread exists; false where the system does not tell.
inline bool single_threaded() {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded != 0;
#else
  return false;
#endif
}

/// Adds 1 to the counter, or takes 1 off, and returns what it was before. Counting down orders what was done before it
/// ahead of what follows whoever comes to the end: that is how the last holder may destroy what is counted.
template <class T>
T count_up(std::atomic<T>& counter) {
  if (!single_threaded()) return counter.fetch_add(1, std::memory_order_relaxed);
  const T before = counter.load(std::memory_order_relaxed);
  counter.store(before + 1, std::memory_order_relaxed);
  return before;
}
template <class T>
T count_down(std::atomic<T>& counter) {
  if (!single_threaded()) return counter.fetch_sub(1, std::memory_order_acq_rel);
  const T before = counter.load(std::memory_order_relaxed);
  counter.store(before - 1, std::memory_order_relaxed);
  return before;
}

/// Holds `mutex` while it lives, unless the process had one thread when it was made.
/// REQUIRES: no thread begins under it that takes the same mutex.
template <class Mutex>
class ThreadLock {
 public:
  explicit ThreadLock(Mutex& mutex) : mutex_(single_threaded() ? nullptr : &mutex) {
    if (mutex_ != nullptr) mutex_->lock();
  }
  ~ThreadLock() {
    if (mutex_ != nullptr) mutex_->unlock();
  }
  ThreadLock(const ThreadLock&) = delete;
  ThreadLock& operator=(const ThreadLock&) = delete;

 private:
  Mutex* mutex_;
};

}  // namespace mnemo::memory
