// SmallNetwork and LargerConvNetwork: one convolution of 3 channels, kernel 3, on images of 32 x 32, flattened into a
// linear layer of 128 outputs. What a training step with Adam takes, by formula from their shapes.
#pragma once

#include <mnemo/mnemo.h>

#include "labs/layer.h"

namespace mnemo::labs {

class FlatNetworkFormula {
 public:
  /// Only the workspaces are asked of the device, which decides about them without running anything.
  FlatNetworkFormula(Device device, std::int64_t channels, std::int64_t batch, DType dtype = DType::float32);

  std::int64_t conv_values() const { return channels_ * 3 * 3 * 3 + channels_; }
  std::int64_t linear_values() const { return kOutputs * features() + kOutputs; }
  std::int64_t values() const { return conv_values() + linear_values(); }

  memory::Bytes conv() const { return conv_weight() + bytes(channels_); }
  memory::Bytes linear() const { return linear_weight() + bytes(kOutputs); }
  memory::Bytes parameters() const { return conv() + linear(); }
  memory::Bytes images() const { return bytes(batch_ * 3 * kEdge * kEdge); }
  /// The relu's output, which is what autograd keeps: relu and linear layer need it, and share it.
  memory::Bytes plane() const { return bytes(batch_ * features()); }
  /// Whether the device runs convolutions of this type channels-last, so that flatten has to copy.
  bool flatten_copies() const;
  /// The peak of a step that is not the first one, of a model of this type where flatten does not copy.
  memory::Bytes step_peak() const;

 private:
  static constexpr std::int64_t kEdge = 32, kPlane = 30 * 30, kOutputs = 128;

  std::int64_t features() const { return channels_ * kPlane; }
  memory::Bytes bytes(std::int64_t values) const { return block_bytes(values, size_of(dtype_)); }
  memory::Bytes conv_weight() const { return bytes(channels_ * 3 * 3 * 3); }
  memory::Bytes linear_weight() const { return bytes(kOutputs * features()); }
  memory::Bytes conv_workspace(ConvPass pass) const;
  memory::Bytes product_workspace(std::int64_t rows, std::int64_t columns, std::int64_t depth) const;

  Device device_;
  std::int64_t channels_, batch_;
  DType dtype_;
};

}  // namespace mnemo::labs
