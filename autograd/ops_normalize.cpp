#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

void check_channels(const char* what, const Tensor& values, const Tensor& x) {
  if (!values.defined()) return;
  if (!(values.shape() == Shape{x.size(1)})) {
    fail<ShapeError>("batch_norm", fmt::format("{} {} must have one element for each of the {} channels of {}", what,
                                               values.shape().text(), x.size(1), x.shape().text()));
  }
  if (!(values.device() == x.device())) {
    fail<DeviceError>("batch_norm",
                      fmt::format("{} {} lies on {}, the input {} on {}; move one with to(device)", what,
                                  values.shape().text(), values.device().name(), x.shape().text(), x.device().name()));
  }
  if (!is_floating(values.dtype())) {
    fail<DTypeError>("batch_norm",
                     fmt::format("{} {} has dtype {}; a floating-point one is needed, cast it with to(DType::float32)",
                                 what, values.shape().text(), name(values.dtype())));
  }
}

/// The statistics that evaluation used, as the gradient needs them. Copies: the running ones may move on before
/// backward.
void copy_running_statistics(NormalizeCall& call) {
  const DType dtype = call.x.dtype() == DType::float64 ? DType::float64 : DType::float32;
  call.mean = Array(Shape{call.channels}, dtype, call.x.device());
  copy_into(call.running_mean, call.mean);
  const Array shifted = map(UnaryOp::affine, call.running_variance.to(dtype), {1, call.epsilon});
  call.inverse_deviation = map(UnaryOp::reciprocal, map(UnaryOp::sqrt, shifted), {1, 0});
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options) {
  const Operation operation("batch_norm");
  check_floating("batch_norm", x.array());
  if (x.rank() < 2)
    fail<ShapeError>("batch_norm", fmt::format("input {} must be (N, C) or (N, C, sizes...)", x.shape().text()));
  check_channels("weight", weight, x);
  check_channels("bias", bias, x);
  check_channels("running mean", running_mean, x);
  check_channels("running variance", running_variance, x);
  if (!(options.epsilon >= 0) || !(options.momentum >= 0 && options.momentum <= 1)) {
    fail<ShapeError>("batch_norm", fmt::format("epsilon {} must not be negative, and momentum {} lies between 0 and 1",
                                               options.epsilon, options.momentum));
  }
  if (!options.training && !(running_mean.defined() && running_variance.defined())) {
    fail<Error>("batch_norm", "evaluation needs running statistics, and there are none");
  }
  const bool training = training_then(options.training);
  const std::int64_t per_channel = x.size(1) == 0 ? 0 : x.numel() / x.size(1);
  if (training && per_channel == 1) {
    fail<ShapeError>(
        "batch_norm",
        fmt::format("training needs more than one value per channel, input {} has one; use a larger batch, or eval()",
                    x.shape().text()));
  }
  NormalizeCall call;
  call.batch = x.size(0);
  call.channels = x.size(1);
  call.inner = x.size(0) * x.size(1) == 0 ? 0 : x.numel() / (x.size(0) * x.size(1));
  call.epsilon = options.epsilon;
  call.momentum = options.momentum;
  call.training = training;
  call.x = x.array();
  call.weight = weight.array();
  call.bias = bias.array();
  if (!training || !recomputing()) {  // a batch counts once
    call.running_mean = running_mean.array();
    call.running_variance = running_variance.array();
  }
  NormalizeGradientCall gradient;
  gradient.batch = call.batch;
  gradient.channels = call.channels;
  gradient.inner = call.inner;
  gradient.training = call.training;
  normalize(call);
  const bool wanted = needs_grad(x) || needs_grad(weight) || needs_grad(bias);
  if (wanted && !training) copy_running_statistics(call);
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
                  if (back.needs(0)) run.dx = Array::like(run.x);
                  if (back.needs(1)) run.dweight = Array(Shape{run.channels}, run.weight.dtype(), run.x.device());
                  if (back.needs(2)) run.dbias = Array(Shape{run.channels}, bias_dtype, run.x.device());
                  normalize_gradient(run);
                  if (back.needs(0)) back.give(0, std::move(run.dx));
                  if (back.needs(1)) back.give(1, std::move(run.dweight));
                  if (back.needs(2)) back.give(2, std::move(run.dbias));
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
