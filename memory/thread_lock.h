// A lock that costs nothing while the process has only one thread: what is taken for every event shall not be paid for
// by programs that never need it.
#pragma once

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
