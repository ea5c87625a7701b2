// cuDNN: the library itself decides, for the card that STAND_IN_CARD describes (a file of JSON), as it can without a
// GPU; what it is then asked to run does nothing. Batch normalization takes no workspace here.
#include <cudnn.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>

namespace {

template <class Function>
Function* real(const char* name, Function*) {
  static void* library = dlopen("libcudnn.so.9", RTLD_LAZY | RTLD_NOLOAD);
  auto* function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function == nullptr) std::fprintf(stderr, "stand-in: no %s\n", name), std::abort();
  return function;
}
#define REAL(name) real(#name, &name)

int object;
std::mutex mutex;
std::map<cudnnBackendDescriptor_t, cudnnBackendDescriptorType_t> types;

cudnnBackendDescriptor_t card() {
  static const cudnnBackendDescriptor_t made = [] {
    const char* path = std::getenv("STAND_IN_CARD");
    std::ifstream file(path == nullptr ? "" : path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    cudnnBackendDescriptor_t d = nullptr;
    if (REAL(cudnnBackendCreateDescriptor)(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d) != CUDNN_STATUS_SUCCESS ||
        REAL(cudnnBackendSetAttribute)(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                       static_cast<int64_t>(text.size()), text.data()) != CUDNN_STATUS_SUCCESS ||
        REAL(cudnnBackendFinalize)(d) != CUDNN_STATUS_SUCCESS) {
      std::fprintf(stderr, "stand-in: cuDNN does not take the card in STAND_IN_CARD\n");
      std::abort();
    }
    return d;
  }();
  return made;
}

}  // namespace

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return *handle = reinterpret_cast<cudnnHandle_t>(&object), CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnGetStream(cudnnHandle_t, cudaStream_t* stream) { return *stream = nullptr, CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  const cudnnStatus_t status = REAL(cudnnBackendCreateDescriptor)(type, descriptor);
  const std::lock_guard lock(mutex);
  if (status == CUDNN_STATUS_SUCCESS) types[*descriptor] = type;
  return status;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  const std::lock_guard lock(mutex);
  types.erase(descriptor);
  return REAL(cudnnBackendDestroyDescriptor)(descriptor);
}
/// Handles are left out; the card comes in their place.
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (type == CUDNN_TYPE_HANDLE) return CUDNN_STATUS_SUCCESS;
  return REAL(cudnnBackendSetAttribute)(descriptor, name, type, count, values);
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  cudnnBackendDescriptorType_t type{};
  {
    const std::lock_guard lock(mutex);
    const auto found = types.find(descriptor);
    if (found != types.end()) type = found->second;
  }
  int name = 0;
  if (type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) name = CUDNN_ATTR_ENGINEHEUR_DEVICEPROP;
  if (type == CUDNN_BACKEND_ENGINE_DESCRIPTOR) name = CUDNN_ATTR_ENGINE_DEVICEPROP;
  if (type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) name = CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP;
  if (name != 0) {
    const cudnnBackendDescriptor_t of = card();
    const cudnnStatus_t status = REAL(cudnnBackendSetAttribute)(
        descriptor, static_cast<cudnnBackendAttributeName_t>(name), CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &of);
    if (status != CUDNN_STATUS_SUCCESS) return status;
  }
  return REAL(cudnnBackendFinalize)(descriptor);
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t) {
  return CUDNN_STATUS_SUCCESS;
}

#define NO_BYTES(name, ...) \
  cudnnStatus_t name(__VA_ARGS__, std::size_t* bytes) { return *bytes = 0, CUDNN_STATUS_SUCCESS; }
using Tensor = cudnnTensorDescriptor_t;
NO_BYTES(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize, cudnnHandle_t, cudnnBatchNormMode_t,
         cudnnBatchNormOps_t, Tensor, Tensor, Tensor, Tensor, cudnnActivationDescriptor_t)
NO_BYTES(cudnnGetBatchNormalizationBackwardExWorkspaceSize, cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t,
         Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, cudnnActivationDescriptor_t)
NO_BYTES(cudnnGetBatchNormalizationTrainingExReserveSpaceSize, cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t,
         cudnnActivationDescriptor_t, Tensor)

}  // extern "C"
