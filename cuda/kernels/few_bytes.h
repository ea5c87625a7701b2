// A few bytes of the host's that travel with a kernel, as its argument. Private: includes CUDA's headers.
#pragma once

#include <cstddef>

#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

inline constexpr std::size_t kMostFewBytes = 1024;

/// Queues a copy of `count` bytes to `to`, on the device. The host's memory is free at once. REQUIRES: count <=
/// kMostFewBytes.
void write_few_bytes(const CudaBackend& backend, const void* host, std::size_t count, std::byte* to);

}  // namespace mnemo::cuda
