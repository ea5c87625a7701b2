// A segment: memory obtained from the source in one piece, or an expandable address range; blocks tile it.
#pragma once

#include <mnemo/memory/block.h>

namespace mnemo::memory {

struct Segment {
  std::byte* data = nullptr;
  Bytes size = 0;
  std::uint64_t position = 0;
  StreamId stream = 0;
  Pool* pool = nullptr;
  Bytes page = 0;          ///< of an expandable range: memory comes and goes in pages of this size; 0: a plain segment
  bool oversize = false;   ///< counted in oversize_segments
  Block* first = nullptr;  ///< the lowest block; splitting and merging keep it

  bool expandable() const { return page != 0; }
};

}  // namespace mnemo::memory
