#include <mnemo/nn/norms.h>

#include <fmt/format.h>

#include <mnemo/autograd/recompute.h>
#include <mnemo/core/error.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

namespace {

void check_epsilon(const char* layer, double epsilon) {
  if (!(epsilon >= 0)) fail<ShapeError>(layer, fmt::format("epsilon {} must not be negative", epsilon));
}

void check_shape(const char* layer, const Shape& shape) {
  if (shape.rank() == 0 || shape.numel() == 0) {
    fail<ShapeError>(layer, fmt::format("shape {} must have at least one axis, and no empty one; the sizes of the last "
                                        "axes are wanted",
                                        shape.text()));
  }
}

}  // namespace

LayerNorm::LayerNorm(LayerNormOptions layer_options) : options(layer_options) {
  check_shape("LayerNorm", options.shape);
  check_epsilon("LayerNorm", options.epsilon);
  if (!options.affine) return;
  weight = constant_parameter(options.shape, 1);
  if (options.bias) bias = constant_parameter(options.shape, 0);
}

Tensor LayerNorm::forward(const Tensor& x) const {
  const auto normalize = [shape = options.shape, epsilon = options.epsilon](const Tensor& y, const Tensor& w,
                                                                            const Tensor& b) {
    return layer_norm(y, shape, w, b, epsilon);
  };
  return in_place ? recompute(normalize, x, weight, bias) : normalize(x, weight, bias);
}

RMSNorm::RMSNorm(RMSNormOptions layer_options) : options(layer_options) {
  check_shape("RMSNorm", options.shape);
  check_epsilon("RMSNorm", options.epsilon);
  if (options.affine) weight = constant_parameter(options.shape, 1);
}

Tensor RMSNorm::forward(const Tensor& x) const {
  const auto normalize = [shape = options.shape, epsilon = options.epsilon](const Tensor& y, const Tensor& w) {
    return rms_norm(y, shape, w, epsilon);
  };
  return in_place ? recompute(normalize, x, weight) : normalize(x, weight);
}

GroupNorm::GroupNorm(GroupNormOptions layer_options) : options(layer_options) {
  if (options.groups < 1 || options.channels < 1 || options.channels % options.groups != 0) {
    fail<ShapeError>("GroupNorm", fmt::format("groups {} must be positive and divide channels {}, positive too",
                                              options.groups, options.channels));
  }
  check_epsilon("GroupNorm", options.epsilon);
  if (!options.affine) return;
  weight = constant_parameter(Shape{options.channels}, 1);
  bias = constant_parameter(Shape{options.channels}, 0);
}

Tensor GroupNorm::forward(const Tensor& x) const {
  if (x.defined() && x.rank() >= 2 && x.size(1) != options.channels) {
    fail<ShapeError>("group_norm", fmt::format("input {} must have {} channels", x.shape().text(), options.channels));
  }
  const auto normalize = [groups = options.groups, epsilon = options.epsilon](const Tensor& y, const Tensor& w,
                                                                              const Tensor& b) {
    return group_norm(y, groups, w, b, epsilon);
  };
  return in_place ? recompute(normalize, x, weight, bias) : normalize(x, weight, bias);
}

}  // namespace mnemo::nn
