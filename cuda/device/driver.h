// The functions of the driver that the runtime does not offer, found by name when they are first needed: a program
// starts on a machine without a driver. Private: includes CUDA's headers.
#pragma once

#include <string>

#include <cuda.h>

namespace mnemo::cuda {

struct Driver {
  decltype(&cuMemAddressReserve) address_reserve = nullptr;
  decltype(&cuMemAddressFree) address_free = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuGetErrorString) error_string = nullptr;

  std::string obstacle;  ///< why they cannot be used, or ""
};

/// The driver of this process.
const Driver& driver();

/// Throws CudaError with `what` and the driver's words unless `status` is success.
void check(CUresult status, const char* what);
/// The same for calls that cannot throw: a warning in the log.
void report(CUresult status, const char* what) noexcept;

}  // namespace mnemo::cuda
