// How much of a GPU's memory is in use, by whomever, as the driver's management library (NVML) says: it can be asked
// before this process has a context. Private.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <mnemo/memory/bytes.h>

namespace mnemo::cuda {

/// Bytes in use on the device with that PCI address ("0000:17:00.0"); nothing where NVML is absent. With those that the
/// driver keeps for itself, which the runtime's total does not have: only differences mean something.
std::optional<memory::Bytes> bytes_in_use(const std::string& pci_address);

/// What a process took by opening a device: the difference of what is in use. Where nobody tells, or what is told does
/// not move (on a part of a GPU, say), it is all that the runtime finds `taken`.
inline memory::Bytes context_bytes(std::optional<memory::Bytes> before, std::optional<memory::Bytes> after,
                                   memory::Bytes taken) {
  if (!before || !after || *after <= *before) return taken;
  return std::min(*after - *before, taken);
}

}  // namespace mnemo::cuda
