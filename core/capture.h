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

  const Device& device() const { return numbers_.device(); }
  /// int64, one element: how far the stream of random numbers has moved since the recording.
  Array random_shift() const { return numbers_.slice(0, 0, 1); }
  /// int64, one element, for a number that is written before each repetition. Memory that is taken while recording would
  /// not do: what was recorded before may have used the same. Throws GradError when there are no more.
  Array new_number();

  /// Is called before every repetition with its number, from 0, which is the recorded step itself: for what the host
  /// counts from 1 on, and for numbers that it writes where the recorded work reads them. What it refers to must
  /// outlive the recording.
  using OnRepeat = std::function<void(std::int64_t repetition)>;
  void on_repeat(OnRepeat prepare) { prepares_.push_back(std::move(prepare)); }

  /// Records what `step` queues on the device in the current stream; random numbers are taken as ever. Nothing is
  /// computed. Throws what the step throws; nothing is recorded then.
  void record(const std::function<void()>& step);
  /// Whether a repetition would take the same stream of random numbers: its seed is that of the recording.
  bool is_repeatable() const;
  /// Queues the recorded work once more, and moves what the host counts. The first repetition is the recorded step
  /// itself.
  void repeat();

 private:
  void discard();

  static constexpr std::int64_t kNumbers = 64;  ///< what fits into the allocator's smallest block

  Array numbers_;  ///< int64
  std::int64_t taken_ = 1;
  std::vector<OnRepeat> prepares_;
  RandomState begin_, end_;
  std::shared_ptr<void> work_;
  std::int64_t repeated_ = 0;
};

}  // namespace mnemo
