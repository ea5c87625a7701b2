#include <mnemo/cuda/device/driver.h>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

namespace {

constexpr unsigned kVersion = 12000;  ///< of the interface: older than every driver that runs this toolkit's programs

template <class Function>
void find(const char* name, Function& function, std::string& obstacle) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &found, kVersion, cudaEnableDefault, &result);
  function = reinterpret_cast<Function>(found);
  if (status == cudaSuccess && result == cudaDriverEntryPointSuccess && found != nullptr) return;
  cudaGetLastError();
  if (obstacle.empty()) obstacle = fmt::format("the driver has no {} ({})", name, cudaGetErrorString(status));
}

Driver open() {
  Driver driver;
  std::string& obstacle = driver.obstacle;
  find("cuMemAddressReserve", driver.address_reserve, obstacle);
  find("cuMemAddressFree", driver.address_free, obstacle);
  find("cuMemCreate", driver.create, obstacle);
  find("cuMemRelease", driver.release, obstacle);
  find("cuMemMap", driver.map, obstacle);
  find("cuMemUnmap", driver.unmap, obstacle);
  find("cuMemSetAccess", driver.set_access, obstacle);
  find("cuGetErrorString", driver.error_string, obstacle);
  return driver;
}

std::string text(CUresult status, const char* what) {
  const char* words = nullptr;
  if (driver().error_string != nullptr) driver().error_string(status, &words);
  return fmt::format("[cuda] {}: {} (driver error {})", what, words == nullptr ? "unknown" : words,
                     static_cast<int>(status));
}

}  // namespace

const Driver& driver() {
  static const Driver driver = open();
  return driver;
}

void check(CUresult status, const char* what) {
  if (status != CUDA_SUCCESS) throw CudaError(text(status, what));
}

void report(CUresult status, const char* what) noexcept {
  if (status == CUDA_SUCCESS || status == CUDA_ERROR_DEINITIALIZED) return;
  try {
    memory::log_warning(text(status, what));
  } catch (...) {  // without memory for the text there is nobody to tell
  }
}

}  // namespace mnemo::cuda
