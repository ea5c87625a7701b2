// A recording as tables (CSV, as RFC 4180 has it, with a line of titles), for spreadsheets and data frames.
#pragma once

#include <iosfwd>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// One line per event: its number, its time (microseconds, or the event's number when the recording has none), what
/// happened to how many bytes where and for what, and the bytes allocated and reserved after it. The state of `out`
/// says whether writing went well; so below.
void write_events_csv(const Recording& recording, std::ostream& out);

/// One line per block, in the order in which they became reusable, then those that are alive at the end: the events at
/// which it was allocated (-1: before the recording began), freed and reusable (empty: not by the end), with their
/// times; its bytes and place; what it was for at first and at last.
void write_blocks_csv(const Recording& recording, std::ostream& out);

}  // namespace mnemo::memory
