// Libraries load kernels when they first run them, into memory that is not the allocator's. Private: includes CUDA's
// headers.
#pragma once

#include <mnemo/core/capture.h>
#include <mnemo/core/error.h>
#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/check.h>

namespace mnemo::cuda {

/// Whether an error leaves the device usable; it is taken from the runtime then, so that no later call reports it.
inline bool is_over() {
  if (is_sticky(cudaPeekAtLastError())) return false;
  cudaGetLastError();
  return true;
}

/// Does `work`; once more, with what the cache can give back, where it fails.
template <class Work>
auto with_room(const CudaBackend& backend, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const CudaError&) {
    if (Capture::current() != nullptr || !is_over()) throw;
  }
  backend.make_room();
  return work();
}

}  // namespace mnemo::cuda
