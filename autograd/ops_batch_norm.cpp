// Batch normalization: alone, with relu, and with what is added before relu.
#include <fmt/format.h>

#include <mnemo/autograd/normalized.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_normalize.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

/// What the three have in common; residual is undefined or like x.
Tensor normalized(const char* op, const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                  const Tensor& running_mean, const Tensor& running_variance, const BatchNormOptions& options,
                  bool relu) {
  NormalizeCall call = batch_norm_call(op, x, weight, bias, running_mean, running_variance, options);
  call.relu = relu;
  call.residual = residual.array();
  const NormalizeGradientCall gradient = gradient_of(call);
  const bool added = residual.defined();
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias) || (added && needs_grad(residual));
  if (wanted) keep_statistics(call);
  normalize(call);
  // Held by the closure until there has been a gradient: later operations find it through the result.
  std::shared_ptr<StandIn> stand_in = wanted && options.lean ? Normalized::stand_for(op, call) : nullptr;
  auto closure = [gradient, added, weight_dtype = weight.array().dtype(), bias_dtype = bias.array().dtype(),
                  x = save_if(wanted, call.x), weight = save_if(wanted, call.weight),
                  bias = save_if(wanted && relu && !added, call.bias), mean = save_if(wanted, call.mean),
                  inverse_deviation = save_if(wanted, call.inverse_deviation), y = save_if(wanted && added, call.y),
                  stand_in = std::move(stand_in)](Backward& back) {
    NormalizeGradientCall run = gradient;
    run.grad = back.take_grad();
    run.x = x.get();
    run.weight = weight.get();
    run.bias = bias.get();
    run.mean = mean.get();
    run.inverse_deviation = inverse_deviation.get();
    run.y = y.get();
    give_gradients(back, run, weight_dtype, bias_dtype);
    if (added && back.needs(3)) back.give(3, std::move(run.dresidual));
  };
  if (added) return record({&x, &weight, &bias, &residual}, call.y, std::move(closure));
  return record({&x, &weight, &bias}, call.y, std::move(closure));
}

void check_residual(const char* op, const Tensor& x, const Tensor& residual) {
  check_floating(op, x.array());
  check_floating(op, residual.array());
  check_same_device(op, x.array(), residual.array());
  if (!(residual.shape() == x.shape())) {
    fail<ShapeError>(op,
                     fmt::format("residual {} must have the shape of the input {}; expand it, or add it to batch_norm",
                                 residual.shape().text(), x.shape().text()));
  }
}

BatchNormOptions lean(BatchNormOptions options) {
  options.lean = true;
  return options;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options) {
  const Operation operation("batch_norm");
  return normalized("batch_norm", x, {}, weight, bias, running_mean, running_variance, options, false);
}

Tensor batch_norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                       const Tensor& running_variance, const BatchNormOptions& options) {
  const Operation operation("batch_norm_relu");
  return normalized("batch_norm_relu", x, {}, weight, bias, running_mean, running_variance, lean(options), true);
}

Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                           const Tensor& running_mean, const Tensor& running_variance,
                           const BatchNormOptions& options) {
  constexpr const char* op = "batch_norm_add_relu";
  const Operation operation(op);
  check_residual(op, x, residual);
  if (residual.dtype() != x.dtype())
    return relu(batch_norm(x, weight, bias, running_mean, running_variance, options) + residual);
  return normalized(op, x, residual, weight, bias, running_mean, running_variance, lean(options), true);
}

}  // namespace mnemo
