// The cuDNN library, loaded when it is first asked for: a program starts and works where there is none.
// Private: the only headers that include cuDNN's are those of this folder.
#pragma once

#include <mutex>
#include <string>

#include <cudnn_graph.h>

namespace mnemo::cuda {

/// The functions that planning and running need, found by name in libcudnn.so.9.
struct CudnnLibrary {
  decltype(&cudnnGetVersion) get_version = nullptr;
  decltype(&cudnnGetCudartVersion) get_cudart_version = nullptr;
  decltype(&cudnnGetMaxDeviceVersion) get_max_device_version = nullptr;
  decltype(&cudnnGetErrorString) get_error_string = nullptr;
  decltype(&cudnnGetLastErrorString) get_last_error_string = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  // Of a device that is there.
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;

  std::string version;   ///< "9.19.0"
  std::string obstacle;  ///< why it cannot be used, or ""
};

/// The library of this process. Where it is looked for: in CUDNN_ROOT, its lib and lib64 if that variable is set; else
/// where the system finds libraries, then where the build found cuDNN's headers, then in /usr/local/cuda.
const CudnnLibrary& cudnn_library();

/// One thread at a time ranks engines and builds plans: the library loads its parts while it does.
std::mutex& cudnn_turn();

/// "CUDNN_STATUS_BAD_PARAM: what the library adds".
std::string cudnn_text(const CudnnLibrary& library, cudnnStatus_t status);

/// Throws CudaError with `what` and the library's words unless `status` is success.
void check_cudnn(const CudnnLibrary& library, cudnnStatus_t status, const char* what);

}  // namespace mnemo::cuda
