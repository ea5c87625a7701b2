// The allocator's options, as a text of key:value pairs with the keys that users know.
#pragma once

#include <array>
#include <limits>
#include <string>
#include <string_view>

#include <mnemo/memory/bytes.h>

namespace mnemo::memory {

/// Options of a CachingAllocator. The defaults are those of the allocator that users know.
struct AllocatorConfig {
  static constexpr Bytes kUnlimited = std::numeric_limits<Bytes>::max();

  Bytes max_split_size = kUnlimited;        ///< blocks of at least this size are never split
  Bytes large_segment_size = 20 * MiB;      ///< segment for requests between 1 MiB and 10 MiB
  Bytes max_non_split_rounding = 20 * MiB;  ///< slack allowed when an oversize block is reused
  double garbage_collection_threshold = 0;  ///< share of the allowed memory above which unused blocks go back; 0: off
  double memory_fraction = 1;               ///< share of the device's memory that may be reserved
  std::array<int, 16> roundup_power2_divisions{};  ///< by power of two of the request, 1 MiB to 32 GiB and more; 0: off
  bool expandable_segments = false;

  /// Reads "max_split_size_mb:128,garbage_collection_threshold:0.8,roundup_power2_divisions:[64:8,>:4]".
  /// Keys: max_split_size_mb, large_segment_size_mb, max_non_split_rounding_mb, garbage_collection_threshold,
  /// per_process_memory_fraction, roundup_power2_divisions, expandable_segments.
  /// Throws ConfigError naming the key, the value and what is allowed.
  static AllocatorConfig parse(std::string_view text);

  /// What MNEMO_ALLOC_CONF says, or the defaults.
  static AllocatorConfig from_environment();

  /// Throws ConfigError when a value is outside of what is allowed; sizes are whole MiB.
  void check() const;

  /// The text that `parse` reads back; empty for the defaults.
  std::string text() const;
};

}  // namespace mnemo::memory
