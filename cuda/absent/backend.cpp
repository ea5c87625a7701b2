// Where no CUDA backend is built in: the one symbol that core asks for says so.
#include <mnemo/core/cuda_device.h>

namespace mnemo {

std::shared_ptr<Backend> open_cuda_device(int, const memory::AllocatorConfig&, std::string& reason) {
  reason = "this build of mnemo has no CUDA backend";
  return nullptr;
}

}  // namespace mnemo
