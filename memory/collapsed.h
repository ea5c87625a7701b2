// What is held at the peak as collapsed stacks: the text that flamegraph.pl, speedscope and their like read.
#pragma once

#include <iosfwd>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// One line per place that holds memory at the peak of `allocated`: "phase;part of the module path;...;op BYTES", the
/// lines adding up to the peak. Semicolons and line ends inside of a name become ':' and ' '. The state of `out` says
/// whether writing went well.
void write_collapsed(const Recording& recording, std::ostream& out);

}  // namespace mnemo::memory
