// Writes the file of a recording from events that come from somewhere else than an allocator in this program.
#pragma once

#include <iosfwd>
#include <vector>

#include <mnemo/memory/event_code.h>
#include <mnemo/memory/live.h>
#include <mnemo/memory/recording_format.h>

namespace mnemo::memory {

/// The header and what was alive are written at once, then events as they come, then the end. The texts of tags stay
/// where they are until `finish`. The state of the stream says whether writing went well.
class RecordingWriter {
 public:
  RecordingWriter(std::ostream& out, const RecordingHeader& header, const LiveState& before);

  /// `event` with the totals after it, `elapsed` microseconds after the one before.
  void add(const Event& event, std::uint64_t elapsed = 0);
  /// `end` is the state after the last event.
  void finish(const LiveState& end);

 private:
  void put(SectionKind kind, const Event& event, std::uint64_t elapsed);
  void seal(SectionKind kind);

  std::ostream& out_;
  EventEncoder encoder_;
  std::size_t written_texts_ = 0;
  std::vector<std::uint8_t> code_;
  std::size_t size_ = 0;
  Chunk chunk_;
  std::int64_t events_ = 0;
  Bytes allocated_ = 0;
  Bytes reserved_ = 0;
};

}  // namespace mnemo::memory
