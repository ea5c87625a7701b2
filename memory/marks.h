// The markers that an allocator puts into its own events, so that whoever reads them knows what it was asked for.
#pragma once

namespace mnemo::memory {

/// `empty_cache` was called; what it gives back follows.
inline constexpr const char* kEmptyCacheMark = "empty_cache";
/// The device has no room for a request: streams are waited for and the cache goes back, which follows, then the device
/// is asked again.
inline constexpr const char* kRetryMark = "retry";

}  // namespace mnemo::memory
