// StageCosts: what each stage of a chain costs in bytes and in operations; found by running each alone on a virtual
// device.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <mnemo/autograd/checkpoint_plan.h>
#include <mnemo/memory/bytes.h>

namespace mnemo {

/// A tensor that a stage gives.
struct StageOutput {
  memory::Bytes bytes = 0;
  std::optional<std::size_t> taken = {};  ///< the number of the tensor it took, where it just hands that on
};

/// Bytes are blocks of the allocator; "beside its input" leaves out the tensors that the stage takes.
struct StageCosts {
  std::size_t takes = 1;
  std::vector<StageOutput> outputs;  ///< the top one last
  memory::Bytes saved = 0;           ///< held for backward beside its input and its outputs
  memory::Bytes forward = 0;         ///< the most beside its input while it runs and keeps nothing, outputs included
  memory::Bytes recording = 0;       ///< the same while it keeps what backward needs
  memory::Bytes backward = 0;        ///< the most beside its input in backward: with saved, outputs and all gradients
  memory::Bytes gradients = 0;       ///< of its parameters: there from its backward on
  std::int64_t forward_work = 0;     ///< operations (core/work.h)
  std::int64_t recompute_work = 0;   ///< of a recomputation that ends in it, which stops early
  std::int64_t backward_work = 0;
};

/// Runs every stage alone on inputs like those that the chain would give it, twice forward and twice backward. `x` is
/// the chain's input, on the virtual device of the stages' parameters, whose gradients stay as they were, as do the
/// program's random numbers. Throws DeviceError for a device that is not virtual.
std::vector<StageCosts> measure_stages(std::span<const Stage> stages, const Tensor& x);

}  // namespace mnemo
