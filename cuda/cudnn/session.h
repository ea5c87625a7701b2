// cuDNN on a device that is there: its handle, and how a plan is run.
#pragma once

#include <optional>
#include <string_view>

#include <cuda_runtime_api.h>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/cudnn/engine.h>

namespace mnemo::cuda {

/// For one thread at a time.
class Session {
 public:
  /// Throws CudaError where cuDNN is absent or does not open on the device.
  explicit Session(int device);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The plan by which an engine solves a pass on this device within a workspace: the device's own, or else as it was
  /// decided on, from the device's description. Throws CudaError if the library does not take it, or wants more.
  ExecutionPlan plan(const ConvQuery& query, std::string_view engine, memory::Bytes workspace) const;
  /// The same kernel with something behind its sums, or none and why (see fused_plan).
  std::optional<ExecutionPlan> fused(const ConvQuery& query, const ConvEpilogue& epilogue, const ConvPlan& plan,
                                     std::string& reason) const;
  /// Queues the plan in the stream.
  void run(cudaStream_t stream, ExecutionPlan& plan, const Operands& operands);

 private:
  Descriptor device_;
  cudnnHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace mnemo::cuda
