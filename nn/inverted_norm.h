// BatchNormLeakyReLU: batch normalization and leaky relu in one layer, of which backward needs the result alone.
#pragma once

#include <mnemo/nn/layers.h>

namespace mnemo::nn {

/// For BatchNorm and LeakyReLU behind a convolution: what the next convolution keeps anyway is all that is kept. Its
/// gradients are those of the two up to rounding; see batch_norm_leaky_relu for the bound. Parameters and buffers are
/// named as those of BatchNorm.
template <int rank>
struct BatchNormLeakyReLU : Module<BatchNormLeakyReLU<rank>> {
  BatchNorm<rank> norm;
  double slope;
  double least_weight = InvertedOptions().least_weight;

  explicit BatchNormLeakyReLU(BatchNormLayerOptions layer_options, double negative_slope = 0.01)
      : norm(layer_options), slope(negative_slope) {}
  Tensor forward(const Tensor& x) {
    const bool batch = this->training || !norm.options.track_running_stats;
    const BatchNormOptions options{
        .training = batch, .momentum = norm.options.momentum, .epsilon = norm.options.epsilon};
    return batch_norm_leaky_relu(x, norm.weight, norm.bias, norm.running_mean, norm.running_variance,
                                 {.norm = options, .slope = slope, .least_weight = least_weight});
  }
  void visit(Visitor& v) { norm.visit(v); }
};

}  // namespace mnemo::nn
