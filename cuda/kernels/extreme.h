// The part of reduce that finds largest and smallest elements: a source of its own, as there are many kernels. Private:
// includes CUDA's headers.
#pragma once

#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

/// out gets the largest, or the `smallest`, elements over `axes`, times `scale`. REQUIRES: out is not empty.
void reduce_to_extreme(const CudaBackend& backend, bool smallest, const Array& x, unsigned axes, double scale,
                       const Array& out);

}  // namespace mnemo::cuda
