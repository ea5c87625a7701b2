// Normalizations that look at one sample at a time: LayerNorm, RMSNorm, GroupNorm. They do the same in training and
// evaluation.
#pragma once

#include <mnemo/autograd/ops.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct LayerNormOptions {
  Shape shape;  ///< the sizes of the last axes that are normalized: `{.shape = {768}}`
  double epsilon = 1e-5;
  bool affine = true;  ///< learned weight and bias
  bool bias = true;    ///< the bias of these
};
/// (..., shape...) -> the same: see layer_norm. While the model works in place, the result is computed again rather
/// than kept (recompute).
struct LayerNorm : Module<LayerNorm> {
  LayerNormOptions options;
  Tensor weight, bias;  // (shape...), or undefined

  /// Throws ShapeError for a shape without axes or elements, or a negative epsilon.
  explicit LayerNorm(LayerNormOptions layer_options);
  Tensor forward(const Tensor& x) const;
  void visit(Visitor& v) { v.parameter("weight", weight), v.parameter("bias", bias); }
};

struct RMSNormOptions {
  Shape shape;  ///< as LayerNormOptions has it
  double epsilon = 1e-5;
  bool affine = true;  ///< a learned weight
};
/// (..., shape...) -> the same: see rms_norm. In place as LayerNorm.
struct RMSNorm : Module<RMSNorm> {
  RMSNormOptions options;
  Tensor weight;  // (shape...), or undefined

  /// Throws ShapeError as LayerNorm does.
  explicit RMSNorm(RMSNormOptions layer_options);
  Tensor forward(const Tensor& x) const;
  void visit(Visitor& v) { v.parameter("weight", weight); }
};

struct GroupNormOptions {
  std::int64_t groups = 0;
  std::int64_t channels = 0;
  double epsilon = 1e-5;
  bool affine = true;  ///< learned weight and bias
};
/// (N, channels) or (N, channels, sizes...) -> the same: see group_norm. In place as LayerNorm.
struct GroupNorm : Module<GroupNorm> {
  GroupNormOptions options;
  Tensor weight, bias;  // (channels), or undefined

  /// Throws ShapeError unless groups divides channels, both positive, and for a negative epsilon.
  explicit GroupNorm(GroupNormOptions layer_options);
  Tensor forward(const Tensor& x) const;
  void visit(Visitor& v) { v.parameter("weight", weight), v.parameter("bias", bias); }
};

}  // namespace mnemo::nn
