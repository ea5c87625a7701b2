// EarlierSteps: what steps that are over still hold for backward. A step whose graph was run or dropped holds nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include <mnemo/memory/saved_bytes.h>
#include <mnemo/memory/timeline.h>

namespace mnemo::memory {

/// Followed from event to event; which step is under way is what the program's StepScope says.
class EarlierSteps {
 public:
  /// Begins with what is alive where the timeline stands.
  explicit EarlierSteps(const Timeline& timeline);

  void follow(const Event& event);
  /// Saved activations of steps before the one under way.
  Bytes bytes() const { return bytes_; }
  std::int64_t step() const { return step_; }
  /// The same by step.
  std::map<std::int64_t, Bytes> by_step() const;

 private:
  void add(std::uint64_t position, Bytes size, const Tag& tag);
  void remove(std::uint64_t position);
  void enter(std::int64_t step);

  struct Part {
    std::int64_t step;
    Bytes bytes;
  };
  std::unordered_map<std::uint64_t, Part> parts_;
  std::map<std::int64_t, Bytes> saved_;  ///< by the step that saved it
  std::int64_t step_ = 0;
  Bytes bytes_ = 0;
};

/// The moment at which earlier steps held most; nothing where that was never worth a word.
struct HeldSteps {
  Bytes bytes = 0;
  std::int64_t step = 0;             ///< that was under way
  std::int64_t first = 0, last = 0;  ///< whose activations these are
  std::int64_t count = 0;            ///< of such steps; more than one: it grows
  std::string module = {}, op = {};  ///< that holds most of it

  /// A sentence with the way out.
  std::string text() const;
};
HeldSteps held_steps(const Recording& recording);

}  // namespace mnemo::memory
