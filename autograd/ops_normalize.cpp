#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_normalize.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options) {
  const Operation operation("batch_norm");
  NormalizeCall call = batch_norm_call("batch_norm", x, weight, bias, running_mean, running_variance, options);
  const NormalizeGradientCall gradient = gradient_of(call);
  normalize(call);
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias);
  if (wanted && !call.training) copy_running_statistics(call);
  return record({&x, &weight, &bias}, call.y,
                [gradient, bias_dtype = bias.array().dtype(), x = save_if(wanted, call.x),
                 weight = save_if(wanted, weight.array()), mean = save_if(wanted, call.mean),
                 inverse_deviation = save_if(wanted, call.inverse_deviation)](Backward& back) {
                  NormalizeGradientCall run = gradient;
                  run.grad = back.take_grad();
                  run.x = x.get();
                  run.weight = weight.get();
                  run.mean = mean.get();
                  run.inverse_deviation = inverse_deviation.get();
                  give_gradients(back, run, run.weight.dtype(), bias_dtype);
                });
}

Tensor dropout(const Tensor& x, double p, bool training) {
  const Operation operation("dropout");
  if (!(p >= 0 && p <= 1)) fail<ShapeError>("dropout", fmt::format("probability {} is not between 0 and 1", p));
  check_floating("dropout", x.array());
  if (!training_then(training) || p == 0) return x;
  DropoutCall call{.p = p};
  Array y = dropout_next(call, x.array());
  return record({&x}, std::move(y), [call](Backward& back) { back.give(0, dropout(call, back.grad())); });
}

namespace {

Tensor softmax_over(const Tensor& x, int axis, bool logarithm) {
  const char* op = logarithm ? "log_softmax" : "softmax";
  if (const OperandCast cast(op, {&x}); cast) return softmax_over(cast(x), axis, logarithm);
  const Operation operation(op);
  Array y = softmax(x.array(), axis, logarithm);
  Saved saved = save_if(needs_grad(x), y);
  return record({&x}, std::move(y), [axis, logarithm, y = std::move(saved)](Backward& back) {
    back.give(0, softmax_gradient(back.grad(), y.get(), axis, logarithm));
  });
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) { return softmax_over(x, axis, false); }
Tensor log_softmax(const Tensor& x, int axis) { return softmax_over(x, axis, true); }

}  // namespace mnemo
