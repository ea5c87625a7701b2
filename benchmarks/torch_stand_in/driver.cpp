// The driver's virtual memory, which PyTorch asks the runtime for by name: what `expandable_segments` need.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <string_view>

#include "device.h"

namespace {

std::mutex mutex;
std::map<CUmemGenericAllocationHandle, std::size_t> pages;
CUmemGenericAllocationHandle last_page = 0;

CUresult reserve(CUdeviceptr* address, std::size_t bytes, std::size_t, CUdeviceptr, unsigned long long) {
  return *address = stand_in::reserve_addresses(bytes), CUDA_SUCCESS;
}
CUresult release_range(CUdeviceptr address, std::size_t) { return stand_in::release_addresses(address), CUDA_SUCCESS; }
CUresult create(CUmemGenericAllocationHandle* handle, std::size_t bytes, const CUmemAllocationProp*,
                unsigned long long) {
  if (!stand_in::take(static_cast<std::int64_t>(bytes))) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::lock_guard lock(mutex);
  pages[*handle = ++last_page] = bytes;
  return CUDA_SUCCESS;
}
CUresult release_page(CUmemGenericAllocationHandle handle) {
  const std::lock_guard lock(mutex);
  const auto page = pages.find(handle);
  if (page == pages.end()) return CUDA_ERROR_INVALID_VALUE;
  stand_in::take(-static_cast<std::int64_t>(page->second));
  pages.erase(page);
  return CUDA_SUCCESS;
}
CUresult map(CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle, unsigned long long) {
  return CUDA_SUCCESS;
}
CUresult unmap(CUdeviceptr, std::size_t) { return CUDA_SUCCESS; }
CUresult set_access(CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t) { return CUDA_SUCCESS; }
CUresult granularity(std::size_t* bytes, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) {
  return *bytes = 2 << 20, CUDA_SUCCESS;
}
CUresult error_text(CUresult, const char** text) { return *text = "an error of the stand-in", CUDA_SUCCESS; }
CUresult attribute(int* value, CUdevice_attribute, CUdevice) { return *value = 0, CUDA_SUCCESS; }
// Whatever else there is: absent.
CUresult absent() { return CUDA_ERROR_NOT_SUPPORTED; }

template <class Function>
void* address_of(Function* function) {
  return reinterpret_cast<void*>(function);
}

const std::map<std::string_view, void*>& functions() {
  static const std::map<std::string_view, void*> functions{
      {"cuMemAddressReserve", address_of(reserve)},
      {"cuMemAddressFree", address_of(release_range)},
      {"cuMemCreate", address_of(create)},
      {"cuMemRelease", address_of(release_page)},
      {"cuMemMap", address_of(map)},
      {"cuMemUnmap", address_of(unmap)},
      {"cuMemSetAccess", address_of(set_access)},
      {"cuMemGetAllocationGranularity", address_of(granularity)},
      {"cuGetErrorString", address_of(error_text)},
      {"cuDeviceGetAttribute", address_of(attribute)},
  };
  return functions;
}

}  // namespace

extern "C" {

// What PyTorch takes from libcuda.so.1 itself.
CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
  return *flags = 0, *active = 1, CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext* context) { return *context = reinterpret_cast<CUcontext>(&pages), CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const auto found = functions().find(name);
  *function = found == functions().end() ? address_of(absent) : found->second;
  if (result != nullptr) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

}  // extern "C"
