// A recording as a memory snapshot of the kind that PyTorch writes: opens at pytorch.org/memory_viz.
#pragma once

#include <iosfwd>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// Writes `recording` as a pickle (protocol 2): the segments at its end and every event that the viewer knows, that is
/// all but retags and markers. An allocation is coloured by the category that it had last; its frames are
/// op and module, then phase and step. Addresses are positions, from 0x700000000000 on; times are microseconds, or
/// event indices. `out` is binary; its state says whether writing went well.
void write_memory_viz(const Recording& recording, std::ostream& out);
/// The same as JSON, which the viewer reads since 2026, and which takes about three times the room.
void write_memory_viz_json(const Recording& recording, std::ostream& out);

}  // namespace mnemo::memory
