#include "cuda_device.h"

#include <cstdio>

#include <mnemo/core/backend.h>
#include <mnemo/core/card.h>
#include <mnemo/core/cuda_device.h>
#include <mnemo/core/error.h>

// The emulation's, where it stands in for a GPU: its kernels may touch what the device's allocator has handed out
// alone.
__attribute__((weak)) void watch_blocks(const mnemo::Device& device);

namespace {

mnemo::Device watched(mnemo::Device device) {
  if (watch_blocks != nullptr) watch_blocks(device);
  return device;
}

}  // namespace

std::optional<mnemo::Device> cuda_device() {
  static const std::optional<mnemo::Device> device = []() -> std::optional<mnemo::Device> {
    try {
      return watched(mnemo::Device("cuda"));
    } catch (const mnemo::DeviceError& error) {
      std::fprintf(stderr, "skipped: what needs a GPU (%s)\n", error.what());
      return std::nullopt;
    }
  }();
  return device;
}

mnemo::Device new_cuda_device(const mnemo::memory::AllocatorConfig& config) {
  return watched(mnemo::Device::open("cuda", config));
}

std::string virtual_twin() {
  const auto device = cuda_device();
  const mnemo::Card* card = device ? mnemo::card_of_driver(device->backend().title()) : nullptr;
  return card == nullptr ? "" : std::string("virtual:") + card->name;
}
