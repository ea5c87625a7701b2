// Threads that work on one thing together: sums and maxima over the threads of a warp or a block, always added in the
// same order, and the block that finishes what many blocks began. Private: device code.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include <mnemo/core/host_device.h>

namespace mnemo::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

struct Plus {
  template <class T>
  MNEMO_HOST_DEVICE static T join(T a, T b) {
    return a + b;
  }
};
/// NaNs are passed over.
struct Larger {
  template <class T>
  MNEMO_HOST_DEVICE static T join(T a, T b) {
    return a < b ? b : a;
  }
};

/// What `Join` makes of the values of a group of `kGroup` neighbouring threads, for each of them: a thread alone, a
/// warp, or a block of kGroup threads. All threads of the block take part; `neutral` changes nothing. T: float or
/// double.
template <int kGroup, class Join, class T>
__device__ T group_join(T value, T neutral) {
  if constexpr (kGroup > 1) {
    static_assert(kGroup % kWarp == 0 && kGroup <= kWarp * kWarp);
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      value = Join::join(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  if constexpr (kGroup > kWarp) {
    __shared__ T of_warps[kGroup / kWarp];
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = threadIdx.x % kWarp < kGroup / kWarp ? of_warps[threadIdx.x % kWarp] : neutral;
    __syncthreads();  // before the next call writes there
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      value = Join::join(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

/// Whether this block is the last of `blocks` that came here with `counter`: then all its threads see what the others wrote
/// before. Sets the counter back.
__device__ inline bool is_last_block(unsigned* counter, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1U) == blocks - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  if (last) __threadfence();  // nothing that is read from here on was read before the others had counted
  return last;
}

}  // namespace mnemo::cuda
