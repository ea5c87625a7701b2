#include <mnemo/cuda/device/memory_use.h>

#include <dlfcn.h>

namespace mnemo::cuda {

namespace {

// NVML's interface, as far as it is used; its header is not part of every toolkit.
using NvmlDevice = void*;
struct NvmlMemory {
  unsigned long long total, free, used;
};

struct Nvml {
  int (*init)() = nullptr;
  int (*device_by_address)(const char*, NvmlDevice*) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
};

Nvml open() {
  Nvml nvml;
  void* handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return nvml;
  nvml.init = reinterpret_cast<decltype(nvml.init)>(dlsym(handle, "nvmlInit_v2"));
  nvml.device_by_address =
      reinterpret_cast<decltype(nvml.device_by_address)>(dlsym(handle, "nvmlDeviceGetHandleByPciBusId_v2"));
  nvml.memory = reinterpret_cast<decltype(nvml.memory)>(dlsym(handle, "nvmlDeviceGetMemoryInfo"));
  if (nvml.init == nullptr || nvml.init() != 0) nvml.memory = nullptr;
  return nvml;
}

}  // namespace

std::optional<memory::Bytes> bytes_in_use(const std::string& pci_address) {
  static const Nvml nvml = open();
  NvmlDevice device = nullptr;
  NvmlMemory memory = {};
  if (nvml.memory == nullptr || nvml.device_by_address == nullptr) return std::nullopt;
  if (nvml.device_by_address(pci_address.c_str(), &device) != 0 || nvml.memory(device, &memory) != 0)
    return std::nullopt;
  return static_cast<memory::Bytes>(memory.used);
}

}  // namespace mnemo::cuda
