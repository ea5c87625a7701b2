// Batch normalization with its activation, of which backward needs one array instead of two.
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_normalize.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/autograd/stand_in.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

/// Normalizes again what was normalized before. It computes the same statistics in the same way, since rounded ones
/// would give other values; in evaluation it has copies of those that were used.
class Again {
 public:
  /// `call` before `normalize` ran.
  explicit Again(const NormalizeCall& call)
      : call_(call), x_(save_if(true, call.x)), weight_(save_if(true, call.weight)), bias_(save_if(true, call.bias)) {
    call_.x = call_.weight = call_.bias = call_.running_mean = call_.running_variance = {};
    if (call.training) return;
    mean_ = save_if(true, copy_of(call.running_mean));
    variance_ = save_if(true, copy_of(call.running_variance));
  }
  Array normalized() const {
    NormalizeCall call = call_;
    call.x = x_.get();
    call.weight = weight_.get();
    call.bias = bias_.get();
    call.running_mean = mean_.get();
    call.running_variance = variance_.get();
    normalize(call);
    return call.y;
  }
  bool is_current() const { return x_.is_current() && is_current(weight_) && is_current(bias_); }
  const Array& x() const { return x_.get(); }
  const Array& weight() const { return weight_.get(); }

 private:
  static bool is_current(const Saved& saved) { return !saved.defined() || saved.is_current(); }
  static Array copy_of(const Array& values) {
    Array copy(values.shape(), values.dtype(), values.device());
    copy_into(values, copy);
    return copy;
  }

  NormalizeCall call_;
  Saved x_, weight_, bias_, mean_, variance_;
};

/// Stands for the result of batch_norm_relu.
class Rectified final : public StandIn {
 public:
  explicit Rectified(const NormalizeCall& call) : again_(call) {}
  StorageRef restore() override {
    const memory::OpScope op("batch_norm_relu");
    const Array y = again_.normalized();
    map_into(UnaryOp::relu, y, y);
    return y.storage();
  }
  bool is_current() const override { return again_.is_current(); }

 private:
  Again again_;
};

/// While a region runs for the first time, nothing of it is kept: there is nothing to stand for.
std::shared_ptr<Rectified> stand_in_of(const NormalizeCall& call) {
  if (const Region* region = Region::current(); region != nullptr && !region->is_finished()) return nullptr;
  const RegionScope outside(nullptr);  // not one of the places of a region that runs again
  return std::make_shared<Rectified>(call);
}

/// Weights no closer to 0 than `least`; those are `least` with their sign.
Array away_from_zero(const Array& weight, double least) {
  const Array bound = full(Shape{}, least, weight.dtype(), weight.device());
  const Array negative = compare(CompareOp::less, weight, full(Shape{}, 0, weight.dtype(), weight.device()));
  const Array below = negative.to(weight.dtype());
  const Array above = map(UnaryOp::affine, below, {-1, 1});
  return map(BinaryOp::add, map(BinaryOp::multiply, map(BinaryOp::maximum, weight, bound), above),
             map(BinaryOp::multiply, map(BinaryOp::minimum, weight, map(UnaryOp::neg, bound)), below));
}

}  // namespace

Tensor batch_norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                       const Tensor& running_variance, const BatchNormOptions& options) {
  const Operation operation("batch_norm_relu");
  NormalizeCall call = batch_norm_call("batch_norm_relu", x, weight, bias, running_mean, running_variance, options);
  const NormalizeGradientCall gradient = gradient_of(call);
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias);
  if (!call.x.is_channels_last())
    call.x = call.x.contiguous();  // as `normalize` wants it, so that it is kept like that
  const NormalizeCall before = call;
  normalize(call);
  map_into(UnaryOp::relu, call.y, call.y);
  if (!wanted) return record({&x, &weight, &bias}, call.y, [](Backward&) {});
  std::shared_ptr<Rectified> stand_in = stand_in_of(before);
  if (stand_in) {
    stand_in->version = call.y.storage()->version();
    call.y.storage()->set_stand_in(stand_in);
  }
  Again again(before);
  if (!call.training) copy_running_statistics(call);
  return record({&x, &weight, &bias}, call.y,
                [gradient, weight_dtype = weight.array().dtype(), bias_dtype = bias.array().dtype(),
                 again = std::move(again), mean = save_if(true, call.mean),
                 inverse_deviation = save_if(true, call.inverse_deviation), stand_in](Backward& back) {
                  NormalizeGradientCall run = gradient;
                  // What lies above 0 before relu does so behind it.
                  run.grad = map_gradient(UnaryOp::relu, back.take_grad(), again.normalized());
                  run.x = again.x();
                  run.weight = again.weight();
                  run.mean = mean.get();
                  run.inverse_deviation = inverse_deviation.get();
                  give_gradients(back, run, weight_dtype, bias_dtype);
                });
}

Tensor batch_norm_leaky_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                             const Tensor& running_variance, const InvertedOptions& options) {
  constexpr const char* op = "batch_norm_leaky_relu";
  const Operation operation(op);
  if (!(options.slope > 0 && options.least_weight > 0)) {
    fail<ShapeError>(op,
                     fmt::format("slope {} and least weight {} must be more than 0: what they make 0 cannot be taken "
                                 "back; take batch_norm_relu for a slope of 0",
                                 options.slope, options.least_weight));
  }
  NormalizeCall call = batch_norm_call(op, x, weight, bias, running_mean, running_variance, options.norm);
  const NormalizeGradientCall gradient = gradient_of(call);
  if (weight.defined()) call.weight = away_from_zero(weight.array(), options.least_weight);
  const Array taken = call.weight;
  normalize(call);
  const Scalars slope{options.slope, 0}, inverse{1 / options.slope, 0};
  map_into(UnaryOp::leaky_relu, call.y, call.y, slope);
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias);
  if (wanted && !call.training) copy_running_statistics(call);
  return record({&x, &weight, &bias}, call.y,
                [gradient, slope, inverse, weight_dtype = weight.array().dtype(), bias_dtype = bias.array().dtype(),
                 y = save_if(wanted, call.y), weight = save_if(wanted, taken), bias = save_if(wanted, bias.array()),
                 inverse_deviation = save_if(wanted, call.inverse_deviation)](Backward& back) {
                  // The values before the activation are the normalized ones times the weight plus the bias.
                  // Normalization does not mind that: to its gradient they are an input of mean `bias` and deviation
                  // `weight`, and a weight that is the deviation times what the input's gradient is to be multiplied
                  // by.
                  const Array& deviation = inverse_deviation.get();
                  const Array one = full(deviation.shape(), 1, deviation.dtype(), deviation.device());
                  const Array factor = weight.defined() ? weight.get().to(deviation.dtype()) : one;
                  NormalizeGradientCall run = gradient;
                  run.grad = map_gradient(UnaryOp::leaky_relu, back.take_grad(), y.get(), slope);
                  run.x = map(UnaryOp::leaky_relu, y.get(), inverse);
                  run.mean = bias.defined() ? bias.get().to(deviation.dtype()) : map(UnaryOp::affine, one, {0, 0});
                  run.inverse_deviation = map(UnaryOp::reciprocal, factor, {1, 0});
                  run.weight = map(BinaryOp::multiply, map(BinaryOp::multiply, deviation, factor), factor);
                  give_gradients(back, run, weight_dtype, bias_dtype);
                });
}

}  // namespace mnemo
