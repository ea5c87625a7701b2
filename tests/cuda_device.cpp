#include "cuda_device.h"

#include <cstdio>

#include <mnemo/core/backend.h>
#include <mnemo/core/card.h>
#include <mnemo/core/cuda_device.h>
#include <mnemo/core/error.h>

std::optional<mnemo::Device> cuda_device() {
  static const std::optional<mnemo::Device> device = []() -> std::optional<mnemo::Device> {
    try {
      return mnemo::Device("cuda");
    } catch (const mnemo::DeviceError& error) {
      std::fprintf(stderr, "skipped: what needs a GPU (%s)\n", error.what());
      return std::nullopt;
    }
  }();
  return device;
}

mnemo::Device new_cuda_device(const mnemo::memory::AllocatorConfig& config) {
  return mnemo::Device::open("cuda", config);
}

std::string virtual_twin() {
  const auto device = cuda_device();
  const mnemo::Card* card = device ? mnemo::card_of_driver(device->backend().title()) : nullptr;
  return card == nullptr ? "" : std::string("virtual:") + card->name;
}
