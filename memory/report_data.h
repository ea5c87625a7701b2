// The events of a recording as a report carries them: columns of small numbers, as text that HTML leaves alone.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// Columns are byte strings of LEB128 numbers, except `kind`, which has a byte per event. Signed ones are zigzag codes.
/// They hold, in the order of the events (first those that lead from nothing to what was alive at the beginning):
///   kind    of every event: EventKind
///   place   of alloc, segment_alloc, segment_free: position minus the one before in this column, signed
///   size    of the same and of oom
///   slack   of alloc and oom: size minus what was requested, signed
///   tag     of alloc, retag, segment_alloc, segment_free, oom, marker: index into `tags`
///   step    of the same: minus the one before in this column, signed
///   stream  of alloc, segment_alloc, segment_free, oom, signed
///   block   of free_requested, free_completed, retag: how many allocs ago the block was made (0: by the latest)
///   time    of every recorded event, when timed: microseconds since the one before, signed
struct ReportData {
  explicit ReportData(const Recording& recording);

  std::int64_t initial = 0;  ///< number of events before the first recorded one
  std::vector<const char*> texts;
  std::vector<std::array<std::size_t, 4>> tags;  ///< category, phase, op and module (indices into `texts`)
  std::vector<std::pair<const char*, std::string>> columns;
  Bytes allocated = 0, reserved = 0;  ///< after the last event
  CategoryBytes categories{};
};

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

}  // namespace mnemo::memory
