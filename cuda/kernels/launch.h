// How kernels are started: on the current stream of a backend, with as many blocks as the work needs. Private: includes
// CUDA's headers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <cuda_runtime.h>

#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/check.h>

namespace mnemo::cuda {

inline constexpr int kThreads = 256;  ///< of a block, where nothing speaks for another number

/// Blocks of `threads` for `items`, at most `waves` times as many as the device runs at once: kernels loop over the
/// rest. At least 1, so that a kernel can be started for nothing.
inline unsigned blocks_for(const CudaBackend& backend, std::int64_t items, int threads = kThreads, int waves = 8) {
  const std::int64_t wanted = (items + threads - 1) / threads;
  const std::int64_t at_once = std::int64_t{2048} / threads * backend.multiprocessors();
  return static_cast<unsigned>(std::max<std::int64_t>(1, std::min(wanted, at_once * waves)));
}

/// Queues kernel(arguments...) in the backend's current stream.
template <class... Parameters, class... Arguments>
void launch(const CudaBackend& backend, dim3 blocks, dim3 threads, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = backend.stream();
  const auto start = [&] { return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...); };
  cudaError_t status = start();
  if (status == cudaErrorMemoryAllocation) {  // a kernel that starts for the first time is loaded into memory
    cudaGetLastError();
    backend.make_room();
    status = start();
  }
  check(status, "starting a kernel");
}

/// This thread's number among all of a one-dimensional grid, and how many there are: `for (i = first(); i < n; i +=
/// step())`.
__device__ inline std::int64_t first_item() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline std::int64_t item_step() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

}  // namespace mnemo::cuda
