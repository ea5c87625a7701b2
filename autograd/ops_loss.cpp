#include <limits>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  if (const OperandCast cast("cross_entropy", {&logits}); cast) return cross_entropy(cast(logits), targets, options);
  const Operation operation("cross_entropy");
  // A value that no target has stands for "none is ignored".
  const std::int64_t ignored = options.ignore_index.value_or(std::numeric_limits<std::int64_t>::min());
  CrossEntropyCall call = cross_entropy_problem(logits.array(), targets.array(), ignored);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    fail<ShapeError>("cross_entropy",
                     fmt::format("label smoothing {} is not between 0 and 1", options.label_smoothing));
  }
  call.label_smoothing = options.label_smoothing;
  const Array losses = cross_entropy(call, logits.array(), targets.array());
  const unsigned all = (1u << losses.rank()) - 1;
  const bool counted = options.reduction == Reduction::mean && options.ignore_index.has_value();
  const double scale = options.reduction == Reduction::mean && !counted ? 1.0 / static_cast<double>(losses.numel()) : 1;
  call.scale = scale;
  Array result = options.reduction == Reduction::none ? losses : reduce(ReduceOp::sum, losses, all, false, scale);
  Array count;  // of the targets that are not ignored, as a number on the device
  if (counted) {
    const Array marker = full(Shape{}, static_cast<double>(ignored), DType::int64, logits.device());
    const Array skipped = reduce(ReduceOp::sum, compare(CompareOp::equal, targets.array(), marker), all, false);
    count = map(UnaryOp::affine, skipped.to(losses.dtype()), {-1, static_cast<double>(losses.numel())});
    result = map(BinaryOp::divide, result, count);
  }
  result = result.to(logits.dtype());
  const bool wanted = needs_grad(logits);
  return record({&logits}, std::move(result),
                [call, dtype = losses.dtype(), logits = save_if(wanted, logits.array()),
                 targets = save_if(wanted, targets.array()), count = save_if(wanted, count)](Backward& back) {
                  Array g = back.take_grad().to(dtype);
                  if (count.defined()) g = map(BinaryOp::divide, g, count.get());
                  back.give(0, cross_entropy_gradient(call, g, logits.get(), targets.get()));
                });
}

namespace {

Tensor reduced(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::none ? losses : reduction == Reduction::sum ? sum(losses) : mean(losses);
}

}  // namespace

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& targets, const NllLossOptions& options) {
  constexpr const char* op = "nll_loss";
  if (const OperandCast cast(op, {&log_probabilities}); cast)
    return nll_loss(cast(log_probabilities), targets, options);
  check_floating(op, log_probabilities.array());
  check_same_device(op, log_probabilities.array(), targets.array());
  check_dtype(op, "the target", targets.array(), DType::int64);
  const int classes = log_probabilities.rank() == 1 ? 0 : 1;
  if (log_probabilities.rank() != targets.rank() + 1 ||
      !(log_probabilities.shape().with(classes, 1) == targets.array().unsqueeze(classes).shape())) {
    fail<ShapeError>(op,
                     fmt::format("logarithms {} are (N, classes, sizes...), so the targets are (N, sizes...), not {}",
                                 log_probabilities.shape().text(), targets.shape().text()));
  }
  const auto losses_at = [&](const Tensor& places) {
    return -squeeze(gather(log_probabilities, classes, unsqueeze(places, classes)), classes);
  };
  if (!options.ignore_index) return reduced(losses_at(targets), options.reduction);
  const Tensor ignored = equal(targets, *options.ignore_index);
  const Tensor losses = where(ignored, 0.0, losses_at(where(ignored, 0, targets)));
  if (options.reduction != Reduction::mean) return reduced(losses, options.reduction);
  return sum(losses) / to(targets.numel() - sum(ignored), losses.dtype());
}

Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& targets, Reduction reduction) {
  constexpr const char* op = "binary_cross_entropy_with_logits";
  if (const OperandCast cast(op, {&logits, &targets}); cast)
    return binary_cross_entropy_with_logits(cast(logits), cast(targets), reduction);
  const Operation operation(op);
  check_floating(op, logits.array());
  check_floating(op, targets.array());
  check_same_device(op, logits.array(), targets.array());
  if (!(logits.shape() == targets.shape())) {
    fail<ShapeError>(op, fmt::format("logits {} and targets {} differ in shape; reshape one of them",
                                     logits.shape().text(), targets.shape().text()));
  }
  const DType dtype = promote(promote(logits.dtype(), targets.dtype()), DType::float32);
  // max(x, 0) - x t + log(1 + exp(-|x|)): nothing grows beyond x, and what rounding takes of the logarithm is less than
  // one rounding of 1.
  const Array x = logits.array().to(dtype), losses = map(UnaryOp::abs, x);
  for (const auto& [step, scalars] : {std::pair(UnaryOp::neg, Scalars{}), std::pair(UnaryOp::exp, Scalars{}),
                                      std::pair(UnaryOp::affine, Scalars{1, 1}), std::pair(UnaryOp::log, Scalars{})})
    map_into(step, losses, losses, scalars);
  map_into(BinaryOp::add, losses, map(UnaryOp::relu, x), losses);
  map_into(BinaryOp::subtract, losses, map(BinaryOp::multiply, x, targets.array()), losses);
  const double scale = reduction == Reduction::mean ? 1.0 / static_cast<double>(losses.numel()) : 1;
  const unsigned all = (1u << losses.rank()) - 1;
  Array result = reduction == Reduction::none ? losses : reduce(ReduceOp::sum, losses, all, false, scale);
  const bool wanted = needs_grad(logits) || needs_grad(targets);
  return record({&logits, &targets}, result.to(logits.dtype()),
                [dtype, scale, dtypes = std::pair(logits.dtype(), targets.dtype()), x = save_if(wanted, logits.array()),
                 t = save_if(needs_grad(logits), targets.array())](Backward& back) {
                  const Array g = map(UnaryOp::affine, back.grad().to(dtype), {scale, 0});
                  const auto times_g = [&](const Array& factor) { return map(BinaryOp::multiply, factor, g); };
                  if (back.needs(0)) {
                    const Array d = map(UnaryOp::sigmoid, x.get().to(dtype));
                    map_into(BinaryOp::subtract, d, t.get(), d);
                    back.give(0, times_g(d).to(dtypes.first));
                  }
                  if (back.needs(1)) back.give(1, times_g(map(UnaryOp::neg, x.get().to(dtype))).to(dtypes.second));
                });
}

Tensor kl_div(const Tensor& log_prediction, const Tensor& target, Reduction reduction) {
  constexpr const char* op = "kl_div";
  if (const OperandCast cast(op, {&log_prediction, &target}); cast)
    return kl_div(cast(log_prediction), cast(target), reduction);
  check_floating(op, log_prediction.array());
  check_floating(op, target.array());
  check_same_device(op, log_prediction.array(), target.array());
  if (!(log_prediction.shape() == target.shape())) {
    fail<ShapeError>(op, fmt::format("logarithms {} and target {} differ in shape; reshape one of them",
                                     log_prediction.shape().text(), target.shape().text()));
  }
  // What has no probability adds nothing: the logarithm of 1 is taken there.
  const Tensor logarithm = log(where(greater(target, 0), target, 1));
  return reduced(target * (logarithm - log_prediction), reduction);
}

}  // namespace mnemo
