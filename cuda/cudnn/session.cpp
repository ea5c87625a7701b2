#include <mnemo/cuda/cudnn/session.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cudnn/conv_graph.h>
#include <mnemo/cuda/cudnn/engine.h>
#include <mnemo/cuda/device/conv_runner.h>
#include <mnemo/cuda/device/properties.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

namespace {

const CudnnLibrary& usable_library() {
  const CudnnLibrary& library = cudnn_library();
  if (!library.obstacle.empty()) throw CudaError("[cudnn] " + library.obstacle);
  return library;
}

CardProperties properties_of(int device) {
  CardProperties properties = device_properties(device);
  describe_by_library(device, properties);
  return properties;
}

}  // namespace

void describe_by_library(int device, CardProperties& properties) {
  if (!cudnn_library().obstacle.empty()) return;
  try {
    Descriptor described(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    described.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, std::int32_t{device}, "a device's number");
    described.finalize("a device's number");
    const std::vector<char> json =
        described.get_list<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, "a device's description");
    CardProperties told = properties;
    told.json.assign(json.begin(), std::find(json.begin(), json.end(), '\0'));
    device_descriptor(told);  // what the library says it must take again
    properties = std::move(told);
  } catch (const CudaError& error) {
    cudaGetLastError();  // no error of the next call
    static std::atomic<bool> told = false;
    if (!told.exchange(true))
      memory::log_info(fmt::format("{}; what the CUDA runtime says of the device is taken", error.what()));
  }
}

Session::Session(int device) : device_((usable_library(), device_descriptor(properties_of(device)))) {
  check_cudnn(cudnn_library(), cudnn_library().create(&handle_), "opening cuDNN on the device");
}

Session::~Session() { cudnn_library().destroy(handle_); }

ExecutionPlan Session::plan(const ConvQuery& query, std::string_view engine, memory::Bytes workspace) const {
  const std::lock_guard lock(cudnn_turn());
  try {
    ExecutionPlan plan = execution_plan(query, engine, Target(handle_));
    if (plan.workspace() <= workspace) return plan;
  } catch (const CudaError&) {
    cudaGetLastError();  // what the library met is no error of the next call
  }
  // What the library says against that is what counts.
  ExecutionPlan plan = execution_plan(query, engine, Target(device_));
  if (plan.workspace() <= workspace) return plan;
  throw CudaError(
      fmt::format("[cudnn] it wants a workspace of {} bytes on this device, and {} were decided on; this is an "
                  "error of mnemo or of cuDNN {}",
                  plan.workspace(), workspace, cudnn_library().version));
}

std::optional<ExecutionPlan> Session::fused(const ConvQuery& query, const ConvEpilogue& epilogue, const ConvPlan& plan,
                                            std::string& reason) const {
  const std::lock_guard lock(cudnn_turn());
  for (const Target& target : {Target(handle_), Target(device_)}) {
    if (auto found = fused_plan(query, epilogue, plan.engine, plan.workspace, target, reason))
      return std::move(found->plan);
  }
  return std::nullopt;
}

namespace {

Descriptor pack_of(const Operands& operands) {
  constexpr auto number = [](Operand operand) { return static_cast<std::int64_t>(operand); };
  const std::int64_t numbers[] = {number(Operand::x), number(Operand::w), number(Operand::y), number(Operand::bias)};
  void* const pointers[] = {operands.x, operands.w, operands.y, operands.bias};
  const std::size_t count = operands.bias != nullptr ? 4 : 3;
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(numbers, count), "the operands' numbers");
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(pointers, count), "the operands");
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, std::span(&operands.workspace, 1), "the workspace");
  pack.finalize("a convolution's operands");
  return pack;
}

}  // namespace

void Session::run(cudaStream_t stream, ExecutionPlan& plan, const Operands& operands) {
  const CudnnLibrary& library = cudnn_library();
  if (stream != stream_) {
    check_cudnn(library, library.set_stream(handle_, stream), "choosing cuDNN's stream");
    stream_ = stream;
  }
  if (!plan.pack || !(plan.operands == operands)) {
    plan.pack = pack_of(operands);
    plan.operands = operands;
  }
  check_cudnn(library, library.execute(handle_, plan.plan.handle(), plan.pack->handle()), "running a convolution");
}

}  // namespace mnemo::cuda
