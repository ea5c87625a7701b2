// What the kernels of row_norm have in several files. Private.
#pragma once

#include <mnemo/cuda/device/backend.h>

namespace mnemo::cuda {

/// Fills call.dweight and call.dbias where they are defined; at least one is.
void give_channel_gradients(const CudaBackend& backend, const RowNormGradientCall& call);

}  // namespace mnemo::cuda
