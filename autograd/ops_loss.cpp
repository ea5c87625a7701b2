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

Tensor mse_loss(const Tensor& prediction, const Tensor& target) {
  if (const OperandCast cast("mse_loss", {&prediction, &target}); cast) return mse_loss(cast(prediction), cast(target));
  const Operation operation("mse_loss");
  check_floating("mse_loss", prediction.array());
  check_floating("mse_loss", target.array());
  check_same_device("mse_loss", prediction.array(), target.array());
  if (!(prediction.shape() == target.shape())) {
    fail<ShapeError>("mse_loss", fmt::format("prediction {} and target {} differ in shape; reshape one of them",
                                             prediction.shape().text(), target.shape().text()));
  }
  const Array difference = map(BinaryOp::subtract, prediction.array(), target.array());
  const double scale = 1.0 / static_cast<double>(difference.numel());
  const unsigned all = (1u << difference.rank()) - 1;
  Array loss = reduce(ReduceOp::sum, map(UnaryOp::power, difference, {2, 0}), all, false, scale);
  const bool wanted = needs_grad(prediction) || needs_grad(target);
  return record({&prediction, &target}, std::move(loss),
                [scale, dtypes = std::pair(prediction.dtype(), target.dtype()),
                 difference = save_if(wanted, difference)](Backward& back) {
                  const Array g = map(UnaryOp::affine, back.grad(), {2 * scale, 0});
                  const Array d = map(BinaryOp::multiply, difference.get(), g);
                  if (back.needs(1)) back.give(1, map(UnaryOp::neg, d).to(dtypes.second));
                  if (back.needs(0)) back.give(0, d.to(dtypes.first));
                });
}

}  // namespace mnemo
