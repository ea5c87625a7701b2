// The driver's functions: addresses without access until memory is mapped behind them.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <map>
#include <string_view>

#include <sys/mman.h>

#include "segments.h"

namespace emulator {
std::size_t& used_bytes();
bool has_room(std::size_t bytes);
}  // namespace emulator

namespace {

std::map<CUmemGenericAllocationHandle, std::size_t>& handles() {
  static auto* handles = new std::map<CUmemGenericAllocationHandle, std::size_t>;
  return *handles;
}
std::map<CUdeviceptr, std::size_t>& mappings() {
  static auto* mappings = new std::map<CUdeviceptr, std::size_t>;
  return *mappings;
}
void* pointer_of(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

}  // namespace

CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t, CUdeviceptr, unsigned long long) {
  void* range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(range);
  return CUDA_SUCCESS;
}
CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return munmap(pointer_of(address), bytes) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes, const CUmemAllocationProp*,
                     unsigned long long) {
  static CUmemGenericAllocationHandle next = 1;
  if (bytes % (2 << 20) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!emulator::has_room(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  emulator::used_bytes() += bytes;
  handles()[*handle = next++] = bytes;
  return CUDA_SUCCESS;
}
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  const auto found = handles().find(handle);
  if (found == handles().end()) return CUDA_ERROR_INVALID_VALUE;
  emulator::used_bytes() -= found->second;
  handles().erase(found);
  return CUDA_SUCCESS;
}
CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t, CUmemGenericAllocationHandle handle,
                  unsigned long long) {
  const auto found = handles().find(handle);
  if (found == handles().end() || found->second != bytes) return CUDA_ERROR_INVALID_VALUE;
  if (!mappings().try_emplace(address, bytes).second) return CUDA_ERROR_INVALID_VALUE;
  emulator::add_segment(pointer_of(address), bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  // Whole mappings only, as the driver wants it.
  std::size_t covered = 0;
  auto& all = mappings();
  for (auto mapping = all.lower_bound(address); mapping != all.end() && mapping->first < address + bytes;
       mapping = all.erase(mapping)) {
    covered += mapping->second;
    emulator::remove_segment(pointer_of(mapping->first));
  }
  if (covered != bytes) return CUDA_ERROR_INVALID_VALUE;
  madvise(pointer_of(address), bytes, MADV_DONTNEED);
  return mprotect(pointer_of(address), bytes, PROT_NONE) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc*, std::size_t) {
  return mprotect(pointer_of(address), bytes, PROT_READ | PROT_WRITE) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorString(CUresult, const char** text) {
  *text = "an error of the emulated driver";
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const std::pair<const char*, void*> known[] = {{"cuMemAddressReserve", reinterpret_cast<void*>(&cuMemAddressReserve)},
                                                 {"cuMemAddressFree", reinterpret_cast<void*>(&cuMemAddressFree)},
                                                 {"cuMemCreate", reinterpret_cast<void*>(&cuMemCreate)},
                                                 {"cuMemRelease", reinterpret_cast<void*>(&cuMemRelease)},
                                                 {"cuMemMap", reinterpret_cast<void*>(&cuMemMap)},
                                                 {"cuMemUnmap", reinterpret_cast<void*>(&cuMemUnmap)},
                                                 {"cuMemSetAccess", reinterpret_cast<void*>(&cuMemSetAccess)},
                                                 {"cuGetErrorString", reinterpret_cast<void*>(&cuGetErrorString)}};
  *result = cudaDriverEntryPointSymbolNotFound;
  for (const auto& [name, address] : known) {
    if (std::string_view(symbol) != name) continue;
    *function = address;
    *result = cudaDriverEntryPointSuccess;
  }
  return cudaSuccess;
}
