#include <mnemo/memory/rounding.h>

#include <algorithm>
#include <bit>

namespace mnemo::memory {

Bytes round_request(Bytes bytes, const AllocatorConfig& config) {
  if (bytes < kMinBlock) return kMinBlock;
  const auto unsigned_bytes = static_cast<std::uint64_t>(bytes);
  const int log2 = std::bit_width(unsigned_bytes) - 1;
  const Bytes divisions = config.roundup_power2_divisions[static_cast<std::size_t>(std::clamp(log2 - 20, 0, 15))];
  if (divisions > 1 && bytes > kMinBlock * divisions) {
    // The bound above makes the step at least kMinBlock, so the result is still a multiple of it.
    const Bytes power = Bytes{1} << log2;
    return power == bytes ? bytes : round_up(bytes, power / divisions);
  }
  return round_up(bytes, kMinBlock);
}

Bytes segment_bytes(Bytes rounded, const AllocatorConfig& config) {
  if (rounded <= kSmallLimit) return kSmallSegment;
  if (rounded < kOwnSegment) return config.large_segment_size;
  return round_up(rounded, kOwnStep);
}

}  // namespace mnemo::memory
