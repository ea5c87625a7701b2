#include <limits>
#include <utility>

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
  CrossEntropyCall call = cross_entropy_problem(logits.array(), targets.array(), ignored, options.weight.array());
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    fail<ShapeError>("cross_entropy",
                     fmt::format("label smoothing {} is not between 0 and 1", options.label_smoothing));
  }
  call.label_smoothing = options.label_smoothing;
  const bool weighted = call.weight.defined();
  const bool counted = options.reduction == Reduction::mean && (options.ignore_index.has_value() || weighted);
  if (counted && weighted) call.target_weights = Array(targets.shape(), call.weight.dtype(), logits.device());
  const Array losses = cross_entropy(call, logits.array(), targets.array());
  const unsigned all = (1u << losses.rank()) - 1;
  const double scale = options.reduction == Reduction::mean && !counted ? 1.0 / static_cast<double>(losses.numel()) : 1;
  call.scale = scale;
  Array result = options.reduction == Reduction::none ? losses : reduce(ReduceOp::sum, losses, all, false, scale);
  Array count;  // of the targets that are not ignored, or their weight, as a number on the device
  if (counted && weighted) {
    count = reduce(ReduceOp::sum, std::exchange(call.target_weights, Array()), all, false);
  } else if (counted) {
    const Array marker = full(Shape{}, static_cast<double>(ignored), DType::int64, logits.device());
    const Array skipped = reduce(ReduceOp::sum, compare(CompareOp::equal, targets.array(), marker), all, false);
    count = map(UnaryOp::affine, skipped.to(losses.dtype()), {-1, static_cast<double>(losses.numel())});
  }
  if (counted) result = map(BinaryOp::divide, result, count);
  result = result.to(logits.dtype());
  const bool wanted = needs_grad(logits);
  Saved weight = save_if(wanted, std::exchange(call.weight, Array()));
  return record({&logits}, std::move(result),
                [call, dtype = losses.dtype(), logits = save_if(wanted, logits.array()),
                 targets = save_if(wanted, targets.array()), weight = std::move(weight),
                 count = save_if(wanted, count)](Backward& back) {
                  Array g = back.take_grad().to(dtype);
                  if (count.defined()) g = map(BinaryOp::divide, g, count.get());
                  CrossEntropyCall own = call;
                  if (weight.defined()) own.weight = weight.get();
                  back.give(0, cross_entropy_gradient(own, g, logits.get(), targets.get()));
                });
}

namespace {

Tensor reduced(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::none ? losses : reduction == Reduction::sum ? sum(losses) : mean(losses);
}

/// (w - 1) softplus(-x): what a positive target of weight w costs beyond one of weight 1.
Array missed(const Array& x, const Array& w) {
  const Array cost = map(UnaryOp::neg, x);
  map_into(UnaryOp::softplus, cost, cost, {1});
  map_into(BinaryOp::multiply, cost, map(UnaryOp::affine, w, {1, -1}), cost);
  return cost;
}

/// Where the classes of values (N, classes, sizes...) or (classes) are, whose targets are (N, sizes...).
int class_axis(const char* op, const char* what, const Tensor& values, const Tensor& targets) {
  check_floating(op, values.array());
  check_same_device(op, values.array(), targets.array());
  check_dtype(op, "the target", targets.array(), DType::int64);
  const int axis = values.rank() == 1 ? 0 : 1;
  if (values.rank() != targets.rank() + 1 ||
      !(values.shape().with(axis, 1) == targets.array().unsqueeze(axis).shape())) {
    fail<ShapeError>(op, fmt::format("{} {} are (N, classes, sizes...), so the targets are (N, sizes...), not {}", what,
                                     values.shape().text(), targets.shape().text()));
  }
  return axis;
}

}  // namespace

Tensor in_top_k(const Tensor& logits, const Tensor& targets, std::int64_t k) {
  constexpr const char* op = "in_top_k";
  const Operation operation(op);
  const int axis = class_axis(op, "logits", logits, targets);
  if (k < 1) fail<ShapeError>(op, fmt::format("k is {}: one is the least", k));
  const Tensor values = logits.detach(), wanted = gather(values, axis, unsqueeze(targets, axis));
  // What is not a number is not less than anything, and nothing is less than it.
  return greater(sum(less_equal(values, wanted), {axis}), values.size(axis) - k);
}

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& targets, const NllLossOptions& options) {
  constexpr const char* op = "nll_loss";
  if (const OperandCast cast(op, {&log_probabilities}); cast)
    return nll_loss(cast(log_probabilities), targets, options);
  const int classes = class_axis(op, "logarithms", log_probabilities, targets);
  const bool weighted = options.weight.defined();
  const bool divided = options.reduction == Reduction::mean && (options.ignore_index.has_value() || weighted);
  // A half type may not hold the sums that are divided.
  const DType given = log_probabilities.dtype(), dtype = divided ? compute_dtype(given) : given;
  const auto losses_at = [&](const Tensor& places) {
    return to(-squeeze(gather(log_probabilities, classes, unsqueeze(places, classes)), classes), dtype);
  };
  if (weighted)
    check_class_weight(op, options.weight.array(), log_probabilities.array(), log_probabilities.size(classes));
  const auto weights_at = [&](const Tensor& places) {
    const Tensor weight = to(options.weight.detach(), dtype);
    return reshape(index_select(weight, 0, reshape(places, {places.numel()})), places.shape());
  };
  Tensor losses, weights, count;  // the weights' sum, or the number of what is not ignored
  if (options.ignore_index) {
    const Tensor ignored = equal(targets, *options.ignore_index), places = where(ignored, 0, targets);
    losses = where(ignored, 0.0, losses_at(places));
    if (weighted)
      weights = where(ignored, 0.0, weights_at(places));
    else
      count = to(targets.numel() - sum(ignored), dtype);
  } else {
    losses = losses_at(targets);
    if (weighted) weights = weights_at(targets);
  }
  if (weighted) losses = losses * weights, count = sum(weights);
  return divided ? to(sum(losses) / count, given) : reduced(losses, options.reduction);
}

Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& targets,
                                        const BinaryCrossEntropyOptions& options) {
  constexpr const char* op = "binary_cross_entropy_with_logits";
  if (const OperandCast cast(op, {&logits, &targets}); cast)
    return binary_cross_entropy_with_logits(cast(logits), cast(targets), options);
  const Operation operation(op);
  check_floating(op, logits.array());
  check_floating(op, targets.array());
  check_same_device(op, logits.array(), targets.array());
  if (!(logits.shape() == targets.shape())) {
    fail<ShapeError>(op, fmt::format("logits {} and targets {} differ in shape; reshape one of them",
                                     logits.shape().text(), targets.shape().text()));
  }
  const DType dtype = promote(promote(logits.dtype(), targets.dtype()), DType::float32);
  const auto factor = [&](const char* what, const Tensor& given) {
    if (!given.defined()) return Array();
    check_floating(op, given.array());
    check_same_device(op, logits.array(), given.array());
    if (!(broadcast(logits.shape(), given.shape(), op) == logits.shape())) {
      fail<ShapeError>(
          op, fmt::format("{} {} does not broadcast to the logits {}: it has more dimensions or larger ones", what,
                          given.shape().text(), logits.shape().text()));
    }
    return given.array().to(dtype);
  };
  const Array weight = factor("weight", options.weight), positive = factor("pos_weight", options.pos_weight);
  // softplus(x) - x t: nothing grows beyond x.
  const Array x = logits.array().to(dtype), t = targets.array().to(dtype), losses = map(UnaryOp::softplus, x, {1});
  map_into(BinaryOp::subtract, losses, map(BinaryOp::multiply, x, t), losses);
  if (positive.defined()) map_into(BinaryOp::add, losses, map(BinaryOp::multiply, missed(x, positive), t), losses);
  if (weight.defined()) map_into(BinaryOp::multiply, losses, weight, losses);
  const bool averaged = options.reduction == Reduction::mean;
  const double scale = averaged ? 1.0 / static_cast<double>(losses.numel()) : 1;
  const unsigned all = (1u << losses.rank()) - 1;
  Array result = options.reduction == Reduction::none ? losses : reduce(ReduceOp::sum, losses, all, false, scale);
  const bool wanted = needs_grad(logits) || needs_grad(targets);
  return record({&logits, &targets}, result.to(logits.dtype()),
                [dtype, scale, dtypes = std::pair(logits.dtype(), targets.dtype()), x = save_if(wanted, logits.array()),
                 t = save_if(needs_grad(logits), targets.array()), weight = save_if(wanted, weight),
                 positive = save_if(wanted, positive)](Backward& back) {
                  Array g = map(UnaryOp::affine, back.grad().to(dtype), {scale, 0});
                  if (weight.defined()) g = map(BinaryOp::multiply, g, weight.get());
                  const auto times_g = [&](const Array& slope) { return map(BinaryOp::multiply, slope, g); };
                  if (back.needs(0)) {
                    // p - t, and of what is missed t (w - 1) (p - 1) besides.
                    const Array d = map(UnaryOp::sigmoid, x.get().to(dtype));
                    if (positive.defined()) {
                      const Array more = map(UnaryOp::affine, d, {1, -1});
                      map_into(BinaryOp::multiply, more, t.get(), more);
                      map_into(BinaryOp::multiply, more, map(UnaryOp::affine, positive.get(), {1, -1}), more);
                      map_into(BinaryOp::add, d, more, d);
                    }
                    map_into(BinaryOp::subtract, d, t.get(), d);
                    back.give(0, times_g(d).to(dtypes.first));
                  }
                  if (!back.needs(1)) return;
                  const Array values = x.get().to(dtype), d = map(UnaryOp::neg, values);
                  if (positive.defined()) map_into(BinaryOp::add, d, missed(values, positive.get()), d);
                  back.give(1, times_g(d).to(dtypes.second));
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
