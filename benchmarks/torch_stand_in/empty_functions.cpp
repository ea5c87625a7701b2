// What succeeds and does nothing, by name alone: these functions return 0 whatever they are given.
#define NOTHING(name) \
  int name() { return 0; }

extern "C" {

NOTHING(cudnnBatchNormalizationForwardTrainingEx)
NOTHING(cudnnBatchNormalizationForwardInference)
NOTHING(cudnnBatchNormalizationBackwardEx)
NOTHING(cudnnPoolingForward)
NOTHING(cublasDestroy_v2)
NOTHING(cublasSetStream_v2)
NOTHING(cublasSetWorkspace_v2)
NOTHING(cublasSetSmCountTarget)
NOTHING(cublasSgemm_v2)
NOTHING(cublasSgemmEx)
NOTHING(cublasDgemm_v2)
NOTHING(cublasCgemm_v2)
NOTHING(cublasZgemm_v2)
NOTHING(cublasGemmEx)
NOTHING(cublasSgemmStridedBatched)
NOTHING(cublasDgemmStridedBatched)
NOTHING(cublasGemmStridedBatchedEx)
NOTHING(cublasSgemv_v2)
NOTHING(cublasDgemv_v2)
NOTHING(cublasSdot_v2)
NOTHING(cublasDdot_v2)
NOTHING(cublasDotEx)
NOTHING(cublasLtMatmul)
NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatrixLayoutDestroy)
NOTHING(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmulDescSetAttribute)
NOTHING(cublasLtMatrixLayoutSetAttribute)
NOTHING(cublasLtMatmulPreferenceSetAttribute)

}  // extern "C"
