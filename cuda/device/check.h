// What the CUDA runtime answers, as errors of mnemo. Private: includes CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

namespace mnemo::cuda {

/// Throws CudaError with `what` and the runtime's words unless `status` is success. An error that leaves the device
/// usable is taken from the runtime, so that a later call does not report it again; of one that does not, the text says
/// so.
void check(cudaError_t status, const char* what);

/// The same for calls that cannot throw: a warning in the log.
void report(cudaError_t status, const char* what) noexcept;

/// Whether every later call would fail with the same error, until the process ends.
bool is_sticky(cudaError_t status);

}  // namespace mnemo::cuda
