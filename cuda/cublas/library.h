// The cuBLASLt library, loaded when the first matrix product is computed: a program starts and works where there is
// none. Private: the only headers that include cuBLASLt's are those of this folder.
#pragma once

#include <string>

#include <cublasLt.h>

namespace mnemo::cuda {

/// The functions that products need, found by name in the libcublasLt.so of the toolkit's major version.
struct CublasLibrary {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_operation = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;

  std::string obstacle;  ///< why it cannot be used, or ""
};

/// The library of this process. Where it is looked for: where the system finds libraries, then in the toolkit that
/// mnemo was built with, in CUDA_HOME's lib64, in /usr/local/cuda/lib64, and beside CUDNN_ROOT as Python's packages
/// lie.
const CublasLibrary& cublas_library();

/// Throws CudaError with `what` and the library's words unless `status` is success.
void check_cublas(const CublasLibrary& library, cublasStatus_t status, const char* what);

}  // namespace mnemo::cuda
