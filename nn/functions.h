// Layers without parameters, for use in a Sequential: activations, pools, flatten.
#pragma once

#include <mnemo/autograd/ops.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

/// A layer that is one function of its input and has nothing to visit.
template <class Derived>
struct Stateless : Module<Derived> {
  void visit(Visitor&) {}
};

struct ReLUOptions {
  bool in_place = false;  ///< overwrites its input where nothing needs that (can_overwrite)
  bool pooled = false;    ///< no operation keeps its output, as before a pooling: in place it keeps a bit per element
};
struct ReLU : Stateless<ReLU> {
  ReLUOptions options;
  explicit ReLU(ReLUOptions layer_options = {}) : options(layer_options) {}
  Tensor forward(const Tensor& x) const;
};
/// Whether x is the result of an operation that no gradient needs: overwriting it loses nothing but the handle. Never
/// inside a checkpointed region, where what gradients need is not known yet.
bool can_overwrite(const Tensor& x);
/// relu(a + b); where `in_place`, in the memory of a, if nothing needs a.
Tensor add_relu(const Tensor& a, const Tensor& b, bool in_place);

struct LeakyReLU : Stateless<LeakyReLU> {
  double slope;
  explicit LeakyReLU(double negative_slope = 0.01) : slope(negative_slope) {}
  Tensor forward(const Tensor& x) const { return leaky_relu(x, slope); }
};
struct Sigmoid : Stateless<Sigmoid> {
  Tensor forward(const Tensor& x) const { return sigmoid(x); }
};
struct Tanh : Stateless<Tanh> {
  Tensor forward(const Tensor& x) const { return tanh(x); }
};
struct ELU : Stateless<ELU> {
  double alpha;
  explicit ELU(double below_zero = 1) : alpha(below_zero) {}
  Tensor forward(const Tensor& x) const { return elu(x, alpha); }
};
struct Softplus : Stateless<Softplus> {
  double beta;
  explicit Softplus(double sharpness = 1) : beta(sharpness) {}
  Tensor forward(const Tensor& x) const { return softplus(x, beta); }
};
struct GELUOptions {
  bool by_tanh = false;  ///< gelu_tanh: PyTorch's approximate="tanh"
};
/// GELU, SiLU, Hardswish and Mish keep their input. While the model works in place, their result is computed again from
/// it rather than kept (recompute).
struct GELU : Stateless<GELU> {
  GELUOptions options;
  explicit GELU(GELUOptions layer_options = {}) : options(layer_options) {}
  Tensor forward(const Tensor& x) const;
};
struct SiLU : Stateless<SiLU> {
  Tensor forward(const Tensor& x) const;
};
struct Hardswish : Stateless<Hardswish> {
  Tensor forward(const Tensor& x) const;
};
struct Mish : Stateless<Mish> {
  Tensor forward(const Tensor& x) const;
};
struct Softmax : Stateless<Softmax> {
  int axis;
  explicit Softmax(int along) : axis(along) {}
  Tensor forward(const Tensor& x) const { return softmax(x, axis); }
};
/// Its input, where a layer is wanted that does nothing.
struct Identity : Stateless<Identity> {
  Tensor forward(const Tensor& x) const { return x; }
};
struct Flatten : Stateless<Flatten> {
  Tensor forward(const Tensor& x) const { return flatten(x); }
};

template <class Derived>
struct Pool : Stateless<Derived> {
  PoolOptions options;
  explicit Pool(PoolOptions pool_options) : options(pool_options) {}
};
struct MaxPool1d : Pool<MaxPool1d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return max_pool1d(x, options); }
};
struct MaxPool2d : Pool<MaxPool2d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return max_pool2d(x, options); }
};
struct MaxPool3d : Pool<MaxPool3d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return max_pool3d(x, options); }
};
struct AvgPool1d : Pool<AvgPool1d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return avg_pool1d(x, options); }
};
struct AvgPool2d : Pool<AvgPool2d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return avg_pool2d(x, options); }
};
struct AvgPool3d : Pool<AvgPool3d> {
  using Pool::Pool;
  Tensor forward(const Tensor& x) const { return avg_pool3d(x, options); }
};
/// The mean over all places: (N, C, sizes...) with 1 to 3 sizes -> (N, C, 1...). What others call adaptive pooling to
/// size 1. Keeps nothing.
struct GlobalAvgPool : Stateless<GlobalAvgPool> {
  Tensor forward(const Tensor& x) const;
};
/// The sizes become `out`: see adaptive_avg_pool1d.
template <class Derived>
struct AdaptivePool : Stateless<Derived> {
  Extent out;
  explicit AdaptivePool(Extent sizes) : out(sizes) {}
};
struct AdaptiveAvgPool1d : AdaptivePool<AdaptiveAvgPool1d> {
  using AdaptivePool::AdaptivePool;
  Tensor forward(const Tensor& x) const { return adaptive_avg_pool1d(x, out); }
};
struct AdaptiveAvgPool2d : AdaptivePool<AdaptiveAvgPool2d> {
  using AdaptivePool::AdaptivePool;
  Tensor forward(const Tensor& x) const { return adaptive_avg_pool2d(x, out); }
};
struct AdaptiveAvgPool3d : AdaptivePool<AdaptiveAvgPool3d> {
  using AdaptivePool::AdaptivePool;
  Tensor forward(const Tensor& x) const { return adaptive_avg_pool3d(x, out); }
};
/// Sizes times `scale`, a whole number: every element as often (upsample_nearest), or between them (interpolate).
struct Upsample : Stateless<Upsample> {
  Extent scale;
  InterpolateOptions options;
  explicit Upsample(Extent by, InterpolateOptions how = {.mode = ResampleMode::nearest}) : scale(by), options(how) {}
  Tensor forward(const Tensor& x) const;
};

}  // namespace mnemo::nn
