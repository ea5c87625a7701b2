// Batch normalization with an activation that can be taken back: backward needs the result alone.
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_normalize.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

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
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias);
  if (wanted) keep_statistics(call);
  normalize(call);
  const Scalars slope{options.slope, 0}, inverse{1 / options.slope, 0};
  map_into(UnaryOp::leaky_relu, call.y, call.y, slope);
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
