// Layers with parameters or with state: convolutions and transposed ones, linear, batch normalization, PReLU,
// dropout.
#pragma once

#include <memory>
#include <utility>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/planning/latest_plans.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct ConvLayerOptions {
  std::int64_t in = 0;   ///< input channels
  std::int64_t out = 0;  ///< output channels
  Extent kernel = 1;
  Extent stride = 1;
  Padding padding = 0;
  Extent dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// The plans that a layer's convolutions took last. Each layer has its own: a copy of it begins without.
class OwnPlans {
 public:
  OwnPlans() = default;
  OwnPlans(const OwnPlans&) : OwnPlans() {}
  OwnPlans(OwnPlans&&) noexcept = default;
  OwnPlans& operator=(OwnPlans other) noexcept {
    plans_ = std::move(other.plans_);
    return *this;
  }
  ~OwnPlans() = default;

  LatestPlans* get() const { return plans_.get(); }

 private:
  std::shared_ptr<LatestPlans> plans_ = std::make_shared<LatestPlans>();
};

/// Convolution over `rank` dimensions: (N, in, sizes...) -> (N, out, sizes...).
template <int rank>
struct Conv : Module<Conv<rank>> {
  ConvLayerOptions options;
  Tensor weight;  // (out, in / groups, kernel...)
  Tensor bias;    // (out), or undefined

  /// Throws ShapeError for sizes that make no convolution. Initialized by Kaiming's rule, bias included.
  explicit Conv(ConvLayerOptions layer_options);
  Tensor forward(const Tensor& x) const;
  /// relu of that; while the model works in place, in one operation. `pooled`: see ReLUOptions.
  Tensor with_relu(const Tensor& x, bool pooled = false);
  void visit(Visitor& v) { v.parameter("weight", weight), v.parameter("bias", bias); }

 private:
  ConvOptions call_options() const {
    return {options.stride, options.padding, options.dilation, options.groups, plans_.get()};
  }

  OwnPlans plans_;
};
using Conv1d = Conv<1>;
using Conv2d = Conv<2>;
using Conv3d = Conv<3>;

struct ConvTransposeLayerOptions {
  std::int64_t in = 0;   ///< input channels
  std::int64_t out = 0;  ///< output channels
  Extent kernel = 1;
  Extent stride = 1;
  Extent padding = 0;
  Extent output_padding = 0;
  Extent dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// Transposed convolution over `rank` dimensions: (N, in, sizes...) -> (N, out, sizes...), larger by its stride; see
/// conv_transpose1d.
template <int rank>
struct ConvTranspose : Module<ConvTranspose<rank>> {
  ConvTransposeLayerOptions options;
  Tensor weight;  // (in, out / groups, kernel...)
  Tensor bias;    // (out), or undefined

  /// Throws ShapeError for sizes that make no convolution. Initialized as PyTorch does it: within 1 / sqrt(out / groups
  /// * kernel), bias included.
  explicit ConvTranspose(ConvTransposeLayerOptions layer_options);
  Tensor forward(const Tensor& x) const;
  void visit(Visitor& v) { v.parameter("weight", weight), v.parameter("bias", bias); }

 private:
  OwnPlans plans_;
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

struct LinearOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
};

/// (..., in) -> (..., out)
struct Linear : Module<Linear> {
  LinearOptions options;
  Tensor weight;  // (out, in)
  Tensor bias;    // (out), or undefined

  explicit Linear(LinearOptions layer_options);
  Tensor forward(const Tensor& x) const { return linear(x, weight, bias); }
  void visit(Visitor& v) { v.parameter("weight", weight), v.parameter("bias", bias); }
};

struct BatchNormLayerOptions {
  std::int64_t channels = 0;
  double epsilon = 1e-5;
  double momentum = 0.1;
  bool affine = true;               ///< learned weight and bias
  bool track_running_stats = true;  ///< otherwise evaluation uses the batch's statistics too
};

/// Batch normalization over `rank` spatial dimensions; rank 1 also takes (N, C).
template <int rank>
struct BatchNorm : Module<BatchNorm<rank>> {
  BatchNormLayerOptions options;
  Tensor weight, bias;                    // (channels), or undefined
  Tensor running_mean, running_variance;  // (channels), or undefined

  explicit BatchNorm(BatchNormLayerOptions layer_options);
  /// While the model works in place, the result is computed again rather than kept (BatchNormOptions::lean).
  Tensor forward(const Tensor& x);
  /// relu of that; while the model works in place, in one operation that keeps x alone.
  Tensor with_relu(const Tensor& x);
  /// relu of that and `residual` added; while the model works in place, in one operation (batch_norm_add_relu).
  Tensor with_add_relu(const Tensor& x, const Tensor& residual);
  void visit(Visitor& v) {
    v.parameter("weight", weight), v.parameter("bias", bias);
    v.buffer("running_mean", running_mean), v.buffer("running_var", running_variance);
  }

 private:
  void check_rank(const Tensor& x) const;
  BatchNormOptions call_options() const;
};
using BatchNorm1d = BatchNorm<1>;
using BatchNorm2d = BatchNorm<2>;
using BatchNorm3d = BatchNorm<3>;

/// x, or x times a learned slope where it is not above 0: of all of x, or one for each of the channels of (N, C, ...).
struct PReLU : Module<PReLU> {
  Tensor weight;  // (channels)

  explicit PReLU(std::int64_t channels = 1, double initial = 0.25);
  Tensor forward(const Tensor& x) const { return prelu(x, weight); }
  void visit(Visitor& v) { v.parameter("weight", weight); }
};

/// Zeroes elements with probability p while training.
struct Dropout : Module<Dropout> {
  double p;

  /// Throws ShapeError unless 0 <= probability <= 1.
  explicit Dropout(double probability = 0.5);
  Tensor forward(const Tensor& x) const { return dropout(x, p, training); }
  void visit(Visitor&) {}
};

}  // namespace mnemo::nn
