// A step that is recorded on a device once and repeated from then on: what changes from one time to the next is read
// from the device. Families and optimizers ask `Capture::current()` where such a number lies.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/random.h>

namespace mnemo {

class Capture {
 public:
  /// Makes the two numbers on the device, as 0. Its first use of them is the recording itself.
  explicit Capture(const Device& device);

  /// What this thread is recording, or null.
  static Capture* current();

  /// Until the end of the scope, what this thread does is a plain run of what will be recorded: whoever needs memory of
  /// its own on the device for that makes it now.
  class Rehearsal {
   public:
    Rehearsal();
    ~Rehearsal();
    Rehearsal(const Rehearsal&) = delete;
    Rehearsal& operator=(const Rehearsal&) = delete;

   private:
    bool before_;
  };
  static bool is_rehearsal();

  const Device& device() const { return clock_.device(); }
  /// int64, one element: how often the step was repeated since it was recorded.
  Array repetitions() const { return clock_.slice(0, 0, 1); }
  /// int64, one element: how far the stream of random numbers has moved since then.
  Array random_shift() const { return clock_.slice(0, 1, 2); }

  /// Is called with every repetition, for what the host counts. Whatever it refers to must outlive the recording.
  void on_repeat(std::function<void()> count) { counts_.push_back(std::move(count)); }

  /// Records what `step` queues on the device in the current stream; random numbers are taken as ever. Nothing is
  /// computed. Throws what the step throws; nothing is recorded then.
  void record(const std::function<void()>& step);
  /// Whether a repetition would take the same stream of random numbers: its seed is that of the recording.
  bool is_repeatable() const;
  /// Queues the recorded work once more, and moves what the host counts. The first repetition is the recorded step
  /// itself.
  void repeat();

 private:
  Array clock_;
  std::vector<std::function<void()>> counts_;
  RandomState begin_, end_;
  std::shared_ptr<void> work_;
  std::int64_t repeated_ = 0;
};

}  // namespace mnemo
