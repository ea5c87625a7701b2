// A recording: everything that happened to one device's memory, as a Recorder wrote it. It stays in its compact form
// (about six bytes per event); a Timeline walks through it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/memory/event.h>
#include <mnemo/memory/ledger.h>

namespace mnemo::memory {

/// What was recorded, and how.
struct RecordingHeader {
  std::string device;            ///< as the recording program calls it
  Bytes capacity = 0;            ///< of the device; 0: unlimited
  std::optional<Bytes> context;  ///< bytes that the driver and its libraries take outside of the allocator, if known
  std::string allocator;         ///< AllocatorConfig::text() at the beginning; empty: the defaults
  bool timed = false;            ///< events carry microseconds; else time is counted in events
  std::vector<std::pair<std::string, std::string>> metadata;  ///< command line, model, batch size, ...: what was given
};

/// The event at which a total was highest for the first time.
struct RecordedPeak {
  std::int64_t event = -1;  ///< -1: before the first event
  Bytes bytes = 0;
  CategoryBytes categories{};  ///< of what was allocated then
};

/// Immutable and cheap to copy. A read recording is consistent: at every event the categories add up to `allocated`,
/// which is at most `reserved`, and no block overlaps another one.
class Recording {
 public:
  /// Throws FileError with the file, the event and the reason: what is no recording, was made by another version, or
  /// contradicts itself. A file cut off while it was written is read up to its last whole chunk.
  static Recording read(const std::string& path);
  /// The same from the bytes of a file; `name` is for error texts.
  static Recording parse(std::string bytes, const std::string& name);

  const RecordingHeader& header() const;
  std::int64_t size() const;                  ///< number of events
  std::int64_t dropped() const;               ///< number of events before the first one, that a ring had no room for
  bool truncated() const;                     ///< the file ends before its recording did
  const RecordedPeak& peak() const;           ///< of `allocated`
  const RecordedPeak& peak_reserved() const;  ///< of `reserved`

  /// Every event; about 100 bytes each. The texts in their tags live as long as this recording or a copy of it.
  std::vector<Event> events() const;

 private:
  friend class Timeline;
  struct Contents;
  explicit Recording(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

  std::shared_ptr<const Contents> contents_;
};

}  // namespace mnemo::memory
