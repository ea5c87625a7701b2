// The state of an allocator as the table that users of caching allocators know.
#pragma once

#include <string>

#include <mnemo/memory/allocator.h>

namespace mnemo::memory {

/// Bytes and numbers of blocks of `allocator`: now, at the peak since `reset_peak`, and in all since the start, with
/// what is taken from and left in each pool; then who holds what is allocated now. `device` names it in the title. It
/// may be called on any thread; both halves are of one moment only while no other thread allocates.
std::string summary(const CachingAllocator& allocator, const std::string& device);

}  // namespace mnemo::memory
