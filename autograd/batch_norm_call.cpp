#include <fmt/format.h>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/ops_normalize.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

void check_channels(const char* op, const char* what, const Tensor& values, const Tensor& x) {
  if (!values.defined()) return;
  if (!(values.shape() == Shape{x.size(1)})) {
    fail<ShapeError>(op, fmt::format("{} {} must have one element for each of the {} channels of {}", what,
                                     values.shape().text(), x.size(1), x.shape().text()));
  }
  if (!(values.device() == x.device())) {
    fail<DeviceError>(op,
                      fmt::format("{} {} lies on {}, the input {} on {}; move one with to(x, device)", what,
                                  values.shape().text(), values.device().name(), x.shape().text(), x.device().name()));
  }
  if (!is_floating(values.dtype())) {
    fail<DTypeError>(
        op, fmt::format("{} {} has dtype {}; a floating-point one is needed, cast it with to(x, DType::float32)", what,
                        values.shape().text(), name(values.dtype())));
  }
}

}  // namespace

NormalizeCall batch_norm_call(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                              const Tensor& running_mean, const Tensor& running_variance,
                              const BatchNormOptions& options) {
  check_floating(op, x.array());
  if (x.rank() < 2) fail<ShapeError>(op, fmt::format("input {} must be (N, C) or (N, C, sizes...)", x.shape().text()));
  check_channels(op, "weight", weight, x);
  check_channels(op, "bias", bias, x);
  check_channels(op, "running mean", running_mean, x);
  check_channels(op, "running variance", running_variance, x);
  if (!(options.epsilon >= 0) || !(options.momentum >= 0 && options.momentum <= 1)) {
    fail<ShapeError>(op, fmt::format("epsilon {} must not be negative, and momentum {} lies between 0 and 1",
                                     options.epsilon, options.momentum));
  }
  if (!options.training && !(running_mean.defined() && running_variance.defined())) {
    fail<Error>(op, "evaluation needs running statistics, and there are none");
  }
  const bool training = training_then(options.training);
  const std::int64_t per_channel = x.size(1) == 0 ? 0 : x.numel() / x.size(1);
  if (training && per_channel == 1) {
    fail<ShapeError>(
        op,
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
  if (Region* region = Region::current(); region != nullptr && !training) {
    region->note_read(running_mean.array());
    region->note_read(running_variance.array());
  }
  if (!training || !recomputing()) {  // a batch counts once
    call.running_mean = running_mean.array();
    call.running_variance = running_variance.array();
  }
  return call;
}

void keep_statistics(NormalizeCall& call) {
  if (call.training) return;  // then it does so anyway
  const DType dtype = compute_dtype(call.x.dtype());
  call.mean = Array(Shape{call.channels}, dtype, call.x.device());
  call.inverse_deviation = Array(Shape{call.channels}, dtype, call.x.device());
}

NormalizeGradientCall gradient_of(const NormalizeCall& call) {
  NormalizeGradientCall gradient;
  gradient.batch = call.batch;
  gradient.channels = call.channels;
  gradient.inner = call.inner;
  gradient.training = call.training;
  gradient.relu = call.relu;
  return gradient;
}

void give_gradients(Backward& back, NormalizeGradientCall& call, DType weight_dtype, DType bias_dtype) {
  if (back.needs(0)) call.dx = Array::like(call.x);
  if (back.needs(1)) call.dweight = Array(Shape{call.channels}, weight_dtype, call.x.device());
  if (back.needs(2)) call.dbias = Array(Shape{call.channels}, bias_dtype, call.x.device());
  normalize_gradient(call);
  if (back.needs(0)) back.give(0, std::move(call.dx));
  if (back.needs(1)) back.give(1, std::move(call.dweight));
  if (back.needs(2)) back.give(2, std::move(call.dbias));
}

}  // namespace mnemo
