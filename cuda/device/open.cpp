// The symbol by which core reaches the CUDA backend, where it is built in.
#include <array>
#include <map>
#include <mutex>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <mnemo/core/cuda_device.h>
#include <mnemo/core/error.h>
#include <mnemo/core/planning/card_decisions.h>
#include <mnemo/core/planning/plan_book.h>
#include <mnemo/cuda/conv_planner.h>
#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/check.h>
#include <mnemo/cuda/device/conv_runner.h>
#include <mnemo/cuda/device/memory_use.h>
#include <mnemo/cuda/device/nvtx.h>
#include <mnemo/cuda/device/properties.h>
#include <mnemo/cuda/device/source.h>
#include <mnemo/memory/log.h>

namespace mnemo {

namespace {

std::string pci_address(int index) {
  std::array<char, 32> text{};
  cuda::check(cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), index), "asking for the PCI address");
  return text.data();
}

/// What this process took on a device before its first segment, measured when it is first opened. Streams are part of
/// it.
memory::Bytes context_of(int index, const std::string& address, std::optional<memory::Bytes> used_before) {
  static std::mutex mutex;
  static std::map<int, memory::Bytes> contexts;
  const std::lock_guard lock(mutex);
  const auto found = contexts.find(index);
  if (found != contexts.end()) return found->second;
  std::size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "asking for the device's memory");
  return contexts[index] =
             cuda::context_bytes(used_before, cuda::bytes_in_use(address), static_cast<memory::Bytes>(total - free));
}

/// A library that takes no description of the device is as none: its convolutions are mnemo's own then.
std::shared_ptr<ConvPlanner> planner_of(const cuda::CardProperties& properties, std::string& obstacle) {
  try {
    return cuda::open_conv_planner(properties, obstacle);
  } catch (const CudaError& error) {
    obstacle = error.what();
    memory::log_warning(obstacle + "; convolutions are computed by mnemo's own kernels");
    return nullptr;
  }
}

std::shared_ptr<Backend> open_device(int index, const memory::AllocatorConfig& config) {
  const std::string address = pci_address(index);
  const std::optional<memory::Bytes> before = cuda::bytes_in_use(address);
  cuda::check(cudaSetDevice(index), "choosing the device");
  auto streams = std::make_shared<cuda::Streams>();
  const memory::Bytes context = context_of(index, address, before);
  cuda::CardProperties properties = cuda::device_properties(index);
  cuda::describe_by_library(index, properties);
  std::string obstacle;
  std::shared_ptr<ConvPlanner> planner = planner_of(properties, obstacle);
  const bool has_library = planner != nullptr;
  const std::string version = planner ? planner->version() : "";
  auto book = std::make_shared<PlanBook>(
      PlanBook::Sources{std::move(planner), obstacle, std::nullopt, PlanTable(version, properties.name)});
  auto source = std::make_unique<cuda::CudaSource>(index, streams, context, config.large_segment_size);
  const Card card = cuda::device_card(index, properties, context);
  return std::make_shared<cuda::CudaBackend>(
      card.name, card.title, index, std::move(streams), std::move(source), config,
      device_decisions(card, std::move(book), has_library ? cuda::open_plan_clock(index) : nullptr));
}

}  // namespace

std::shared_ptr<Backend> open_cuda_device(int index, const memory::AllocatorConfig& config, std::string& reason) {
  const int count = cuda::device_count(reason);
  if (count == 0) return nullptr;
  if (index >= count) {
    reason = fmt::format("the driver shows {} device{}, numbered from 0", count, count == 1 ? "" : "s");
    return nullptr;
  }
  cuda::announce_ranges();
  try {
    return open_device(index, config);
  } catch (const CudaError& error) {  // such as one that other processes have filled, or may not share
    reason = error.what();
    return nullptr;
  }
}

}  // namespace mnemo
