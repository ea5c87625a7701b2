// A recording as a trace for ui.perfetto.dev or chrome://tracing: curves, and every block's life.
#pragma once

#include <iosfwd>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// Writes `recording` in Chrome's trace format (JSON), line by line: a counter in bytes for allocated, reserved and
/// each category; an asynchronous slice for each block from its allocation to its free, with its retags; a slice for
/// each phase; an instant for each marker, OutOfMemory and the peak. Times are microseconds, or event indices when the
/// recording has none. The state of `out` says whether writing went well.
void write_chrome_trace(const Recording& recording, std::ostream& out);

}  // namespace mnemo::memory
