// SimpleConv with Adam: what a training step takes, by formula from its shapes.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::labs {

class SimpleConvFormula {
 public:
  /// Only the workspaces are asked of the device, which decides about them without running anything.
  SimpleConvFormula(const Device& device, std::int64_t batch, std::int64_t size = 28);

  /// What the linear layer is given per image: 64 channels of what the second pool leaves.
  std::int64_t features() const { return 64 * pooled2_ * pooled2_; }
  /// Left after a step: parameters, their gradients and Adam's two moments, whatever the batch was.
  memory::Bytes after_step() const { return 4 * parameters(); }
  /// The peak of a step that is not the first one. `accumulated`: of a batch whose gradients are added to those of
  /// batches before it.
  memory::Bytes step_peak(bool accumulated = false) const;

 private:
  memory::Bytes conv1_parameters() const;
  memory::Bytes conv2_parameters() const;
  memory::Bytes fc_parameters() const;
  memory::Bytes parameters() const { return conv1_parameters() + conv2_parameters() + fc_parameters(); }
  memory::Bytes workspace(std::int64_t in, std::int64_t out, std::int64_t edge, ConvPass pass) const;
  memory::Bytes product_workspace(std::int64_t rows, std::int64_t columns, std::int64_t depth) const;

  const Device& device_;
  std::int64_t batch_, size_;
  std::int64_t conv1_, pooled1_, conv2_, pooled2_;  ///< edges of the layers' outputs
};

}  // namespace mnemo::labs
