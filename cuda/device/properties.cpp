#include <mnemo/cuda/device/properties.h>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mnemo/cuda/device/check.h>
#include <mnemo/memory/tag.h>

namespace mnemo::cuda {

namespace {

using memory::MiB;

constexpr memory::Bytes kHopperWorkspace = 32 * MiB, kOlderWorkspace = 4 * MiB;  // see kMatmulWorkspaceSource

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, index), "asking for an attribute of the device");
  return value;
}

cudaDeviceProp runtime_properties(int index) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, index), "asking for the device's properties");
  return properties;
}

}  // namespace

int device_count(std::string& reason) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  cudaGetLastError();
  const auto version = [](int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); };
  if (driver == 0) {
    reason = "no NVIDIA driver is loaded on this machine";
  } else if (status == cudaErrorInsufficientDriver) {
    reason = fmt::format("the driver is for CUDA {}, older than the {} that mnemo was built with", version(driver),
                         version(runtime));
  } else {
    reason = fmt::format("the driver for CUDA {} shows no device ({})", version(driver), cudaGetErrorString(status));
  }
  return 0;
}

CardProperties device_properties(int index) {
  const cudaDeviceProp p = runtime_properties(index);
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  const nlohmann::ordered_json json{
      {"deviceName", p.name},
      {"cudaDeviceId", index},
      {"deviceVer", 100 * p.major + 10 * p.minor},
      {"multiProcessorCount", p.multiProcessorCount},
      {"driverVer", driver},
      {"maxSharedMemoryPerBlockOptin", p.sharedMemPerBlockOptin},
      {"totalGlobalMem", p.totalGlobalMem},
      {"maxGridSize", p.maxGridSize},
      {"maxBlockSize", p.maxThreadsDim},
      {"regsPerBlock", p.regsPerBlock},
      {"warpSize", p.warpSize},
      {"maxSharedMemoryPerBlock", p.sharedMemPerBlock},
      {"reservedSharedMemoryPerBlock", p.reservedSharedMemPerBlock},
      {"maxRegistersPerSM", p.regsPerMultiprocessor},
      {"maxCtasPerSM", p.maxBlocksPerMultiProcessor},
      {"maxThreadsPerBlock", p.maxThreadsPerBlock},
      {"maxThreadsPerSM", p.maxThreadsPerMultiProcessor},
      {"pciDeviceId", p.pciDeviceID},
      {"isTccDriver", p.tccDriver},
      {"supportCoopLaunch", p.cooperativeLaunch},
      {"smClockRateKHz", attribute(cudaDevAttrClockRate, index)},
      {"memClockRateKHz", attribute(cudaDevAttrMemoryClockRate, index)},
      {"l2CacheSize", p.l2CacheSize},
  };
  CardProperties card;
  card.name = fmt::format("cuda:{}", index);
  card.capability = 10 * p.major + p.minor;
  card.json = json.dump();
  std::vector<std::string> members;
  for (const auto& item : json.items()) members.push_back(item.key());
  card.sources.push_back({members, "from a device", fmt::format("the CUDA runtime on an {}", p.name)});
  return card;
}

Card device_card(int index, const CardProperties& properties, memory::Bytes context) {
  const cudaDeviceProp p = runtime_properties(index);
  const Card* const known = card_of_driver(p.name);
  Card card = known != nullptr ? *known : Card{};
  card.name = memory::intern(properties.name);
  card.title = memory::intern(p.name);
  card.capacity = static_cast<memory::Bytes>(p.totalGlobalMem);
  card.capacity_source = "the CUDA runtime";
  card.context = context;
  card.context_source = "measured when the device was opened";
  card.matmul_workspace =
      properties.capability >= 90 && properties.capability < 120 ? kHopperWorkspace : kOlderWorkspace;
  return card;
}

}  // namespace mnemo::cuda
