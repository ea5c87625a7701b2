// From what a caller asks for to what a block occupies and what the device is asked for.
#pragma once

#include <mnemo/memory/bytes.h>
#include <mnemo/memory/config.h>

namespace mnemo::memory {

inline constexpr Bytes kMinBlock = 512;             ///< every block is a multiple of it
inline constexpr Bytes kSmallLimit = 1 * MiB;       ///< rounded requests up to here use the small pool
inline constexpr Bytes kSmallSegment = 2 * MiB;     ///< segment, and page of an expandable range, of the small pool
inline constexpr Bytes kOwnSegment = 10 * MiB;      ///< rounded requests from here get a segment of their own size
inline constexpr Bytes kOwnStep = 2 * MiB;          ///< to a multiple of which such segments are rounded
inline constexpr Bytes kTooLarge = Bytes{1} << 60;  ///< requests from here fail at once

/// The size of the block for a request of `bytes` > 0, before splitting has its say.
Bytes round_request(Bytes bytes, const AllocatorConfig& config);

/// The size of a new segment for a rounded request.
Bytes segment_bytes(Bytes rounded, const AllocatorConfig& config);

}  // namespace mnemo::memory
