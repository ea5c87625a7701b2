// SimpleConv with Adam: what a training step takes, by formula from its shapes.
#pragma once

#include <mnemo/mnemo.h>

#include "labs/arithmetic.h"

namespace mnemo::labs {

class SimpleConvFormula {
 public:
  /// Only the workspaces are asked of the device, which decides about them without running anything. `width` are the
  /// first convolution's filters; the second one has twice as many.
  SimpleConvFormula(const Device& device, std::int64_t batch, std::int64_t size = 28, std::int64_t width = 32);

  /// What the linear layer is given per image: the channels of what the second pool leaves.
  std::int64_t features() const { return 2 * width_ * pooled2_ * pooled2_; }
  memory::Bytes parameters() const { return conv1_parameters() + conv2_parameters() + fc_parameters(); }
  /// The batch, without its labels.
  memory::Bytes images() const { return block_bytes(batch_ * 3 * size_ * size_); }
  /// What autograd keeps of the network: the relus' and pools' outputs, and where in their windows the maxima are.
  memory::Bytes kept() const { return kept1() + kept2(); }
  /// Left after a step: parameters, their gradients and Adam's two moments, whatever the batch was.
  memory::Bytes after_step() const { return 4 * parameters(); }
  /// The peak of a step that is not the first one. `accumulated`: of a batch whose gradients are added to those of
  /// batches before it.
  memory::Bytes step_peak(bool accumulated = false) const;

 private:
  memory::Bytes conv1_parameters() const;
  memory::Bytes conv2_weight() const { return block_bytes(2 * width_ * width_ * 3 * 3); }
  memory::Bytes conv2_parameters() const { return conv2_weight() + block_bytes(2 * width_); }
  memory::Bytes fc_parameters() const;
  memory::Bytes plane1() const { return block_bytes(batch_ * width_ * conv1_ * conv1_); }
  memory::Bytes plane2() const { return block_bytes(batch_ * 2 * width_ * conv2_ * conv2_); }
  memory::Bytes half1() const { return block_bytes(batch_ * width_ * pooled1_ * pooled1_); }
  memory::Bytes half2() const { return block_bytes(batch_ * features()); }
  /// What is kept of relu1 and pool1; a maximum's place in its window is a byte.
  memory::Bytes kept1() const { return plane1() + block_bytes(batch_ * width_ * pooled1_ * pooled1_, 1) + half1(); }
  memory::Bytes kept2() const { return plane2() + block_bytes(batch_ * features(), 1) + half2(); }
  memory::Bytes workspace(std::int64_t in, std::int64_t out, std::int64_t edge, ConvPass pass) const;
  memory::Bytes product_workspace(std::int64_t rows, std::int64_t columns, std::int64_t depth) const;

  const Device& device_;
  std::int64_t batch_, size_, width_;
  std::int64_t conv1_, pooled1_, conv2_, pooled2_;  ///< edges of the layers' outputs
};

}  // namespace mnemo::labs
