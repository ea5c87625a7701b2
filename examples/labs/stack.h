// Two convolutions with a rectifier between, trained with plain SGD: what a step takes, by formula and measured.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "labs/arithmetic.h"
#include "models/registry.h"

namespace mnemo::labs {

/// Conv3d 16->32 k3 p1, ReLU, Conv3d 32->32 k3 p1, on a batch of cubes.
models::Spec stack_spec(std::int64_t batch, std::int64_t size);

/// Bytes by formula. Only the workspaces are asked of the device.
class StackFormula {
 public:
  StackFormula(const models::Spec& spec, const ConvPolicy& policy, const Device& device);

  memory::Bytes parameters() const { return first_ + second_; }
  memory::Bytes input() const { return input_; }
  /// What autograd keeps of the forward pass besides the input: the rectifier's output, one for both that need it.
  memory::Bytes saved() const { return plane_; }
  /// Its name is that of the convolution's pass, if there is one under way.
  Moment step_peak() const;
  /// That pass and its engine.
  std::string engine() const;
  /// Whether the workspace of any pass is unknown.
  bool estimated() const;

 private:
  struct Pass {
    const char* name;
    std::int64_t in;
    ConvPass pass;
  };
  static const Pass kPasses[5];
  ConvPlan plan(const Pass& pass) const;

  std::int64_t batch_, size_;
  const ConvPolicy& policy_;
  const Device& device_;
  memory::Bytes first_, second_, second_weight_, first_weight_, input_, plane_;
};

struct StackMeasurement {
  memory::CategoryBytes forward{};  ///< with the output there, nothing backwards yet
  memory::Bytes saved_without_gradients = 0;
  memory::Peak peak;  ///< of the second training step
};
StackMeasurement measure(const models::Spec& spec, const ConvPolicy& policy, const std::string& device);

}  // namespace mnemo::labs
