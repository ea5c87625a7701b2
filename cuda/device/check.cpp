#include <mnemo/cuda/device/check.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

namespace {

std::string text(cudaError_t status, const char* what) {
  std::string words = fmt::format("[cuda] {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
  if (is_sticky(status)) {
    words +=
        "; the device's context is lost, so nothing on it can be read any more: start the program again, with "
        "CUDA_LAUNCH_BLOCKING=1 to see which operation it was";
  }
  return words;
}

}  // namespace

bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorDeviceUninitialized:
    case cudaErrorNvlinkUncorrectable:
      return true;
    default:
      return false;
  }
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  if (!is_sticky(status)) cudaGetLastError();
  throw CudaError(text(status, what));
}

void report(cudaError_t status, const char* what) noexcept {
  // At the end of the process the runtime may be gone before the last device: nothing is lost then.
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  if (!is_sticky(status)) cudaGetLastError();
  try {
    memory::log_warning(text(status, what));
  } catch (...) {  // without memory for the text there is nobody to tell
  }
}

}  // namespace mnemo::cuda
