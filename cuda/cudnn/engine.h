// Engines of cuDNN: as the library ranks them for a graph, and by their names in mnemo, "eng28_k2=1_k24=4": the
// engine's number and the knobs that are turned.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/engine_plan.h>
#include <mnemo/cuda/card_properties.h>
#include <mnemo/cuda/cudnn/descriptor.h>

namespace mnemo::cuda {

/// What the library must know of a card, there or not.
Descriptor device_descriptor(const CardProperties& card);

/// The device that plans are for: that of a handle, or one that need not be there. A plan runs on a device with the
/// same properties.
class Target {
 public:
  explicit Target(cudnnHandle_t handle) : handle_(handle) {}
  explicit Target(const Descriptor& device) : device_(&device) {}

  /// For a graph; or null.
  cudnnHandle_t handle() const { return handle_; }
  /// Tells heuristics or an engine, which know a handle from the graph.
  void tell(Descriptor& of, cudnnBackendAttributeName_t attribute) const {
    if (device_ != nullptr) of.set(attribute, *device_, "the device");
  }
  /// Tells a plan.
  void tell(Descriptor& plan) const;

 private:
  cudnnHandle_t handle_ = nullptr;
  const Descriptor* device_ = nullptr;
};

/// The engines for a graph, the library's favourite first, each with its knobs; where its heuristics know none, those
/// of its list for such cases. None and the library's words if it supports no such graph.
std::vector<Descriptor> ranked_engines(const Descriptor& graph, const Target& target, std::string& refusal);

/// The name of an engine that the library ranked, and what it says of it.
struct RankedEngine {
  std::string name;
  PlanNotes notes;
};
RankedEngine look_at(const Descriptor& config);

/// The plan of an engine with its knobs; not finalized.
Descriptor new_plan(const Descriptor& config, const Target& target);

/// What a plan works on; null where there is nothing.
struct Operands {
  void* x = nullptr;
  void* w = nullptr;
  void* y = nullptr;
  void* workspace = nullptr;
  void* bias = nullptr;

  bool operator==(const Operands&) const = default;
};

/// A plan that can run, and what it was made of, which lives as long.
struct ExecutionPlan {
  std::vector<Descriptor> parts;
  Descriptor plan;
  Operands operands = {};               ///< of the latest run: a step often finds its arrays where they were
  std::optional<Descriptor> pack = {};  ///< as the library is told of them

  memory::Bytes workspace() const {
    return plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
  }
};

/// The plan by which the engine of that name solves a pass. Throws CudaError with the library's words if it does not
/// take the engine, or the name is none.
ExecutionPlan execution_plan(const ConvQuery& query, std::string_view engine, const Target& target);

/// The plan of the same kernel with something behind its sums: the engine may have another number, its knobs and its
/// notes are those of `engine`. Within the blocks of `workspace` bytes. None, and why, where the library ranks none.
struct FusedPlan {
  RankedEngine engine;
  memory::Bytes workspace = 0;
  ExecutionPlan plan;
};
std::optional<FusedPlan> fused_plan(const ConvQuery& query, const ConvEpilogue& epilogue, std::string_view engine,
                                    memory::Bytes workspace, const Target& target, std::string& reason);

}  // namespace mnemo::cuda
