// A walk through a recording, event by event, with the state of memory after each.
#pragma once

#include <memory>

#include <mnemo/memory/event_code.h>
#include <mnemo/memory/live.h>
#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// Stands after one event, at first before all of them (index -1): the state is then what was alive when the
/// recording began. Walking a million events takes a fraction of a second.
class Timeline {
 public:
  explicit Timeline(const Recording& recording);

  /// Goes to the next event; false at the end, where nothing changes.
  bool next();
  /// Goes to just after event `index` (-1: before the first), backwards by starting again; stops at the last event.
  void seek(std::int64_t index);

  std::int64_t index() const { return index_; }
  /// The event at `index()`, complete.
  const Event& event() const { return event_; }
  /// Microseconds since the recording began; the number of events before this one when it was not timed.
  std::int64_t time() const { return timed_ ? time_ : index_; }

  Bytes allocated() const { return state_.allocated(); }
  Bytes reserved() const { return state_.reserved(); }
  const CategoryBytes& categories() const { return state_.categories(); }
  const LiveState& state() const { return state_; }

 private:
  friend class Recording;
  explicit Timeline(std::shared_ptr<const Recording::Contents> contents);
  void begin();
  bool step();
  [[noreturn]] void refuse(const char* reason) const;

  std::shared_ptr<const Recording::Contents> contents_;
  LiveState state_;
  std::size_t chunk_ = 0;  // the next one
  std::int64_t left_ = 0;  // events of the present one
  EventDecoder decoder_;
  std::int64_t index_ = -1;
  std::int64_t time_ = 0;
  bool timed_ = false;
  Event event_;
};

}  // namespace mnemo::memory
