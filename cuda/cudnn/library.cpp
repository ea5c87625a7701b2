#include <mnemo/cuda/cudnn/library.h>

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo::cuda {

namespace {

constexpr const char* kSoName = "libcudnn.so.9";
/// Older ones cannot plan for a card that is not there.
constexpr std::size_t kOldest = 90800;

std::vector<std::string> candidates() {
  const char* root = std::getenv("CUDNN_ROOT");  // NOLINT(concurrency-mt-unsafe): only read
  if (root != nullptr && *root != '\0') {
    const std::string folder(root);
    return {folder + "/lib/" + kSoName, folder + "/lib64/" + kSoName, folder + "/" + kSoName};
  }
  std::vector<std::string> paths{kSoName};
  for (const char* folder : {MNEMO_CUDNN_LIBRARY_DIR, "/usr/local/cuda/lib64"}) {
    if (*folder != '\0') paths.push_back(fmt::format("{}/{}", folder, kSoName));
  }
  return paths;
}

/// The first candidate that can be loaded; `obstacle` is why none could. It stays loaded: cuDNN does not like to leave.
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
  if (function == nullptr && obstacle.empty()) obstacle = fmt::format("{} has no {}", kSoName, name);
}

/// While it ranks, cuDNN loads NVRTC and unloads it again, which takes 10 to 80 ms and leaks each time. Once it is held
/// here, no query takes more than 6 ms. Where it is not found, cuDNN finds it by its own means, as slowly as before.
void hold_nvrtc(const CudnnLibrary& library) {
  const std::string name = fmt::format("libnvrtc.so.{}", library.get_cudart_version() / 1000);
  if (dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return;
  for (const char* folder : {MNEMO_CUDNN_LIBRARY_DIR, "/usr/local/cuda/lib64"}) {
    if (dlopen(fmt::format("{}/{}", folder, name).c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return;
  }
}

CudnnLibrary open() {
  CudnnLibrary library;
  void* handle = load(library.obstacle);
  if (handle == nullptr) return library;
  library.obstacle.clear();
  std::string& obstacle = library.obstacle;
  find(handle, "cudnnGetVersion", library.get_version, obstacle);
  find(handle, "cudnnGetCudartVersion", library.get_cudart_version, obstacle);
  find(handle, "cudnnGetMaxDeviceVersion", library.get_max_device_version, obstacle);
  find(handle, "cudnnGetErrorString", library.get_error_string, obstacle);
  find(handle, "cudnnGetLastErrorString", library.get_last_error_string, obstacle);
  find(handle, "cudnnBackendCreateDescriptor", library.create_descriptor, obstacle);
  find(handle, "cudnnBackendDestroyDescriptor", library.destroy_descriptor, obstacle);
  find(handle, "cudnnBackendSetAttribute", library.set_attribute, obstacle);
  find(handle, "cudnnBackendGetAttribute", library.get_attribute, obstacle);
  find(handle, "cudnnBackendFinalize", library.finalize, obstacle);
  find(handle, "cudnnCreate", library.create, obstacle);
  find(handle, "cudnnDestroy", library.destroy, obstacle);
  find(handle, "cudnnSetStream", library.set_stream, obstacle);
  find(handle, "cudnnBackendExecute", library.execute, obstacle);
  if (!obstacle.empty()) return library;
  const std::size_t version = library.get_version();
  library.version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  if (version < kOldest) {
    obstacle = fmt::format("cuDNN {} is too old: planning without a device needs 9.8 or newer", library.version);
    return library;
  }
  hold_nvrtc(library);
  return library;
}

}  // namespace

const CudnnLibrary& cudnn_library() {
  static const CudnnLibrary library = open();
  return library;
}

std::string cudnn_text(const CudnnLibrary& library, cudnnStatus_t status) {
  char message[1024] = "";
  library.get_last_error_string(message, sizeof message);
  const std::string name = library.get_error_string(status);
  return *message == '\0' ? name : name + ": " + message;
}

void check_cudnn(const CudnnLibrary& library, cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw CudaError(fmt::format("[cudnn] {}: {}", what, cudnn_text(library, status)));
}

}  // namespace mnemo::cuda
