#include <mnemo/cuda/cublas/library.h>

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include <fmt/format.h>

namespace mnemo::cuda {

namespace {

std::string file_name() { return fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR); }

std::vector<std::string> candidates() {
  const std::string name = file_name();
  std::vector<std::string> paths{name};
  if (*MNEMO_CUDA_LIBRARY_DIR != '\0') paths.push_back(fmt::format("{}/{}", MNEMO_CUDA_LIBRARY_DIR, name));
  const char* home = std::getenv("CUDA_HOME");  // NOLINT(concurrency-mt-unsafe): only read
  if (home != nullptr && *home != '\0') paths.push_back(fmt::format("{}/lib64/{}", home, name));
  paths.push_back("/usr/local/cuda/lib64/" + name);
  return paths;
}

/// The first candidate that can be loaded; `obstacle` is why none could. It stays loaded as long as the process.
void* load(std::string& obstacle) {
  for (const std::string& path : candidates()) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): of this thread in glibc
    obstacle += (obstacle.empty() ? "" : "; ") + (reason == nullptr ? path : std::string(reason));
  }
  return nullptr;
}

template <class Function>
void find(void* handle, const char* name, Function& function, std::string& obstacle) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function == nullptr && obstacle.empty()) obstacle = fmt::format("{} has no {}", file_name(), name);
}

CublasLibrary open() {
  CublasLibrary library;
  std::string& obstacle = library.obstacle;
  void* handle = load(obstacle);
  if (handle == nullptr) return library;
  obstacle.clear();
  find(handle, "cublasLtCreate", library.create, obstacle);
  find(handle, "cublasLtDestroy", library.destroy, obstacle);
  find(handle, "cublasLtGetStatusString", library.status_string, obstacle);
  find(handle, "cublasLtMatmulDescCreate", library.create_operation, obstacle);
  find(handle, "cublasLtMatmulDescDestroy", library.destroy_operation, obstacle);
  find(handle, "cublasLtMatmulDescSetAttribute", library.set_operation, obstacle);
  find(handle, "cublasLtMatrixLayoutCreate", library.create_layout, obstacle);
  find(handle, "cublasLtMatrixLayoutDestroy", library.destroy_layout, obstacle);
  find(handle, "cublasLtMatrixLayoutSetAttribute", library.set_layout, obstacle);
  find(handle, "cublasLtMatmulPreferenceCreate", library.create_preference, obstacle);
  find(handle, "cublasLtMatmulPreferenceDestroy", library.destroy_preference, obstacle);
  find(handle, "cublasLtMatmulPreferenceSetAttribute", library.set_preference, obstacle);
  find(handle, "cublasLtMatmulAlgoGetHeuristic", library.heuristic, obstacle);
  find(handle, "cublasLtMatmul", library.matmul, obstacle);
  return library;
}

}  // namespace

const CublasLibrary& cublas_library() {
  static const CublasLibrary library = open();
  return library;
}

}  // namespace mnemo::cuda
