// How much of a GPU's memory is in use before this process has a context on it, as the driver's management library
// (NVML) says. Private.
#pragma once

#include <optional>
#include <string>

#include <mnemo/memory/bytes.h>

namespace mnemo::cuda {

/// Bytes in use by everyone on the device with that PCI address ("0000:17:00.0"); nothing where NVML is absent.
std::optional<memory::Bytes> bytes_in_use(const std::string& pci_address);

}  // namespace mnemo::cuda
