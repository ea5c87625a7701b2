// A stream of random numbers of one thread, beside the program's.
#pragma once

#include <mnemo/core/random.h>

namespace mnemo {

/// Until the end of the scope this thread takes its random numbers from a stream of its own, which begins at `start`:
/// what other threads take does not move it, and the program's stream stays where it is.
class RandomStreamScope {
 public:
  explicit RandomStreamScope(RandomState start);
  ~RandomStreamScope();
  RandomStreamScope(const RandomStreamScope&) = delete;
  RandomStreamScope& operator=(const RandomStreamScope&) = delete;

 private:
  RandomState own_;
  RandomState* before_;
};

}  // namespace mnemo
