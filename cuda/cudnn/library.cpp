#include <mnemo/cuda/cudnn/library.h>

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/dynamic_library.h>

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

/// While it ranks, cuDNN loads NVRTC and unloads it again, which takes 10 to 80 ms and leaks each time. Once it is held
/// here, no query takes more than 6 ms. Where it is not found, cuDNN finds it by its own means, as slowly as before.
void hold_nvrtc(const CudnnLibrary& library) {
  const std::string name = fmt::format("libnvrtc.so.{}", library.get_cudart_version() / 1000);
  if (dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return;
  std::vector<std::string> folders{MNEMO_CUDNN_LIBRARY_DIR, "/usr/local/cuda/lib64"};
  const char* root = std::getenv("CUDNN_ROOT");  // NOLINT(concurrency-mt-unsafe): only read
  if (root != nullptr && *root != '\0')          // Python's packages have it beside cuDNN
    folders.push_back(fmt::format("{}/../cu{}/lib", root, library.get_cudart_version() / 1000));
  for (const std::string& folder : folders) {
    if (dlopen(fmt::format("{}/{}", folder, name).c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return;
  }
}

CudnnLibrary open() {
  CudnnLibrary library;
  DynamicLibrary file(candidates());
  if (file.is_loaded()) {
    file.find("cudnnGetVersion", library.get_version);
    file.find("cudnnGetCudartVersion", library.get_cudart_version);
    file.find("cudnnGetMaxDeviceVersion", library.get_max_device_version);
    file.find("cudnnGetErrorString", library.get_error_string);
    file.find("cudnnGetLastErrorString", library.get_last_error_string);
    file.find("cudnnBackendCreateDescriptor", library.create_descriptor);
    file.find("cudnnBackendDestroyDescriptor", library.destroy_descriptor);
    file.find("cudnnBackendSetAttribute", library.set_attribute);
    file.find("cudnnBackendGetAttribute", library.get_attribute);
    file.find("cudnnBackendFinalize", library.finalize);
    file.find("cudnnCreate", library.create);
    file.find("cudnnDestroy", library.destroy);
    file.find("cudnnSetStream", library.set_stream);
    file.find("cudnnBackendExecute", library.execute);
  }
  library.obstacle = file.obstacle();
  if (!library.obstacle.empty()) return library;
  const std::size_t version = library.get_version();
  library.version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  if (version < kOldest) {
    library.obstacle =
        fmt::format("cuDNN {} is too old: planning without a device needs 9.8 or newer", library.version);
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

std::mutex& cudnn_turn() {
  static std::mutex turn;
  return turn;
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
