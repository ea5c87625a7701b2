#include <mnemo/cuda/cublas/library.h>

#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include <mnemo/cuda/dynamic_library.h>

namespace mnemo::cuda {

namespace {

std::vector<std::string> candidates() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  std::vector<std::string> paths{name};
  if (*MNEMO_CUDA_LIBRARY_DIR != '\0') paths.push_back(fmt::format("{}/{}", MNEMO_CUDA_LIBRARY_DIR, name));
  const char* home = std::getenv("CUDA_HOME");  // NOLINT(concurrency-mt-unsafe): only read
  if (home != nullptr && *home != '\0') paths.push_back(fmt::format("{}/lib64/{}", home, name));
  paths.push_back("/usr/local/cuda/lib64/" + name);
  // Beside the cuDNN of Python's packages.
  const char* cudnn = std::getenv("CUDNN_ROOT");  // NOLINT(concurrency-mt-unsafe): only read
  if (cudnn != nullptr && *cudnn != '\0') {
    for (const std::string& folder : {fmt::format("cu{}", CUBLAS_VER_MAJOR), std::string("cublas")})
      paths.push_back(fmt::format("{}/../{}/lib/{}", cudnn, folder, name));
  }
  return paths;
}

CublasLibrary open() {
  CublasLibrary library;
  DynamicLibrary file(candidates());
  if (file.is_loaded()) {
    file.find("cublasLtCreate", library.create);
    file.find("cublasLtDestroy", library.destroy);
    file.find("cublasLtGetStatusString", library.status_string);
    file.find("cublasLtMatmulDescCreate", library.create_operation);
    file.find("cublasLtMatmulDescDestroy", library.destroy_operation);
    file.find("cublasLtMatmulDescSetAttribute", library.set_operation);
    file.find("cublasLtMatrixLayoutCreate", library.create_layout);
    file.find("cublasLtMatrixLayoutDestroy", library.destroy_layout);
    file.find("cublasLtMatrixLayoutSetAttribute", library.set_layout);
    file.find("cublasLtMatmulPreferenceCreate", library.create_preference);
    file.find("cublasLtMatmulPreferenceDestroy", library.destroy_preference);
    file.find("cublasLtMatmulPreferenceSetAttribute", library.set_preference);
    file.find("cublasLtMatmulAlgoGetHeuristic", library.heuristic);
    file.find("cublasLtMatmul", library.matmul);
  }
  library.obstacle = file.obstacle();
  return library;
}

}  // namespace

const CublasLibrary& cublas_library() {
  static const CublasLibrary library = open();
  return library;
}

}  // namespace mnemo::cuda
