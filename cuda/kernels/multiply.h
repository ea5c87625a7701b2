// Matrix products and convolutions by kernels of mnemo's own. Private.
#pragma once

#include <mnemo/core/backend.h>

namespace mnemo::cuda {

class CudaBackend;

/// Backend::matmul for strides that no library takes.
void multiply_strided(const CudaBackend& backend, const MatmulCall& call);

/// ConvAlgorithm::direct: any pass, no workspace.
void conv_direct(const CudaBackend& backend, const ConvCall& call);

/// ConvAlgorithm::gemm: one image and group at a time is unfolded into call.workspace and multiplied.
void conv_gemm(CudaBackend& backend, const ConvCall& call);

/// The input of one image and group as a matrix in `unfolded`: (C / groups * taps, places) for contiguous operands,
/// (places, taps * C / groups) for channels-last ones, row-major.
void unfold(const CudaBackend& backend, const ConvCall& call, std::int64_t image, std::int64_t group, void* unfolded);

/// The reverse: every element of that image and group becomes the sum of what the matrix holds for it.
void fold(const CudaBackend& backend, const ConvCall& call, std::int64_t image, std::int64_t group,
          const void* unfolded);

}  // namespace mnemo::cuda
