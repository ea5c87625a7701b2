// What a trace from the middle begins with: the segments as they were, made again by calls of the allocator.
#pragma once

#include <cstdint>
#include <vector>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/config.h>
#include <mnemo/memory/live.h>

namespace mnemo::memory {

/// Calls after which an allocator with `config`'s kind of segments has those of `state`, with its blocks and with what
/// is free between them. `alive` allocates the blocks, one call for each by position; here they have their blocks'
/// sizes. What else comes and goes is numbered from `next_block` on, which is raised. Of expandable segments
/// `recording` tells where memory was put behind an address range later: below and between what has memory now, so that
/// it is put there again. On the way more memory is taken than in the end. Throws FileError for segments larger than
/// any device.
std::vector<Call> calls_for_segments(const LiveState& state, const std::vector<Call>& alive, const Recording& recording,
                                     const AllocatorConfig& config, std::uint32_t& next_block);

}  // namespace mnemo::memory
