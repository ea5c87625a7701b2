// Copies from one dtype to another: cast.cu has them, copy.cu decides. Private: includes CUDA's headers.
#pragma once

#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

/// `to` gets what `from` holds, cast. REQUIRES: the same shape, another dtype, at least one element.
void copy_cast(const CudaBackend& backend, const Array& from, const Array& to);

}  // namespace mnemo::cuda
