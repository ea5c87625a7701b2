// normalize, softmax, cross_entropy: rows or channels that are brought to a common scale.
#include <utility>

#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

// REQUIRES: x dense.
SoftmaxCall softmax_call(const Array& x, int axis, bool logarithm) {
  SoftmaxCall call{1, x.size(axis), 1, logarithm};
  if (!x.is_contiguous() && call.size > 1) {  // what has smaller strides than the axis lies inside of it
    call.inner = x.strides()[axis];
    call.outer = x.numel() / (call.size * call.inner);
    return call;
  }
  for (int i = 0; i < axis; ++i) call.outer *= x.size(i);
  for (int i = axis + 1; i < x.rank(); ++i) call.inner *= x.size(i);
  return call;
}

}  // namespace

namespace {

/// Row-major, or with the channels innermost, as x is.
Array in_layout_of(const Array& x, const Array& array) {
  return x.is_contiguous() || !x.is_channels_last() ? array.contiguous() : array.channels_last();
}

/// With the channels innermost, all voxels of all images are one batch of points.
template <class Call>
void count_points(Call& call, const Array& x) {
  if (x.is_contiguous() || !x.is_channels_last()) return;
  call.batch *= call.inner;
  call.inner = 1;
}

}  // namespace

void normalize(NormalizeCall& call) {
  if (!call.x.is_channels_last()) call.x = call.x.contiguous();
  if (call.weight.defined()) call.weight = call.weight.contiguous();
  if (call.bias.defined()) call.bias = call.bias.contiguous();
  // Statistics that are a view with gaps are read and written through a copy.
  const Array running_mean = call.running_mean, running_variance = call.running_variance;
  if (running_mean.defined()) call.running_mean = running_mean.contiguous();
  if (running_variance.defined()) call.running_variance = running_variance.contiguous();
  if (call.residual.defined()) call.residual = in_layout_of(call.x, call.residual);
  call.y = Array::like(call.x);
  count_points(call, call.x);
  if (call.training && !call.given) {
    call.mean = Array(Shape{call.channels}, compute_dtype(call.x.dtype()), call.x.device());
    call.inverse_deviation = Array(Shape{call.channels}, compute_dtype(call.x.dtype()), call.x.device());
  }
  count_operations(call.x.numel());
  call.x.device().backend().normalize(call);
  if (!call.training || call.given) return;
  for (const auto& [from, to] :
       {std::pair(call.running_mean, running_mean), std::pair(call.running_variance, running_variance)}) {
    if (!to.defined()) continue;
    if (from.storage() == to.storage())
      to.storage()->changed_in_place();
    else
      copy_into(from, to);
  }
}

void normalize_gradient(NormalizeGradientCall& call) {
  call.grad = in_layout_of(call.x, call.grad);
  if (call.weight.defined()) call.weight = call.weight.contiguous();
  if (call.bias.defined()) call.bias = call.bias.contiguous();
  if (call.y.defined()) {
    call.y = in_layout_of(call.x, call.y);
    if (!call.dresidual.defined()) call.dresidual = call.grad.storage().is_unique() ? call.grad : Array::like(call.x);
  }
  count_points(call, call.x);
  count_operations(call.x.numel());
  call.grad.device().backend().normalize_gradient(call);
}

Array softmax(const Array& x, int axis, bool logarithm) {
  const char* op = logarithm ? "log_softmax" : "softmax";
  check_floating(op, x);
  axis = normalize_axis(axis, x.rank(), op);
  const Array source = x.layout().is_dense() ? x : x.contiguous();
  const Array y = Array::like(source);
  count_operations(x.numel());
  x.device().backend().softmax(softmax_call(source, axis, logarithm), source, y);
  return y;
}

Array causal_softmax(const Array& x, std::int64_t first) {
  check_floating("causal_softmax", x);
  if (x.rank() < 2 || first < 0) {
    fail<ShapeError>("causal_softmax", fmt::format("{} must be (..., rows, size), and {} elements before row 0's own "
                                                   "must be 0 or more",
                                                   x.shape().text(), first));
  }
  const Array source = x.contiguous(), y = Array::like(source);
  SoftmaxCall call = softmax_call(source, x.rank() - 1, false);
  call.rows = x.size(x.rank() - 2);
  call.first = first;
  count_operations(x.numel());
  if (x.numel() > 0) x.device().backend().softmax(call, source, y);
  return y;
}

Array softmax_gradient(const Array& grad, const Array& y, int axis, bool logarithm) {
  axis = normalize_axis(axis, y.rank(), "softmax");
  const Array dx = Array::like(y), source = with_strides(grad, dx.strides());
  count_operations(y.numel());
  y.device().backend().softmax_gradient(softmax_call(y, axis, logarithm), source, y, dx);
  return dx;
}

CrossEntropyCall cross_entropy_problem(const Array& logits, const Array& targets, std::int64_t ignore_index,
                                       const Array& weight) {
  check_floating("cross_entropy", logits);
  check_same_device("cross_entropy", logits, targets);
  check_dtype("cross_entropy", "the target", targets, DType::int64);
  bool match = logits.rank() >= 1 && targets.rank() == logits.rank() - 1;
  if (match && logits.rank() >= 2) {
    Dims expected{logits.size(0)};
    for (int axis = 2; axis < logits.rank(); ++axis) expected.push_back(logits.size(axis));
    match = targets.shape() == Shape(expected);
  }
  if (!match) {
    fail<ShapeError>("cross_entropy",
                     fmt::format("logits {} are (N, classes, sizes...), so the targets are (N, sizes...), not {}",
                                 logits.shape().text(), targets.shape().text()));
  }
  CrossEntropyCall call;
  call.ignore_index = ignore_index;
  call.outer = logits.rank() == 1 ? 1 : logits.size(0);
  call.classes = logits.size(logits.rank() == 1 ? 0 : 1);
  for (int axis = 2; axis < logits.rank(); ++axis) call.inner *= logits.size(axis);
  if (logits.is_channels_last() && !logits.is_contiguous()) call.outer *= std::exchange(call.inner, 1);
  if (const auto bad =
          targets.device().backend().first_bad_index(targets.contiguous(), call.classes, call.ignore_index)) {
    fail<ShapeError>(
        "cross_entropy",
        fmt::format("target {} is not a class of logits {}: classes are 0 to {}; set ignore_index to leave some out",
                    *bad, logits.shape().text(), call.classes - 1));
  }
  if (!weight.defined()) return call;
  check_class_weight("cross_entropy", weight, logits, call.classes);
  call.weight = weight.to(compute_dtype(logits.dtype())).contiguous();
  return call;
}

namespace {

/// The logits in the order that the call says.
Array ordered(const CrossEntropyCall& call, const Array& logits) {
  const bool by_places = call.inner == 1 && logits.rank() > 2;  // or there is but one place
  return by_places ? logits.channels_last() : logits.contiguous();
}

}  // namespace

Array cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets) {
  const Array rows = ordered(call, logits), indices = targets.contiguous();
  const Array losses(targets.shape(), compute_dtype(logits.dtype()), logits.device());
  count_operations(logits.numel());
  logits.device().backend().cross_entropy(call, rows, indices, losses);
  return losses;
}

Array cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                             const Array& targets) {
  const Array weights = grad.contiguous(), rows = ordered(call, logits), indices = targets.contiguous();
  const Array dlogits = Array::like(rows);
  CrossEntropyCall summed = call;
  if (call.weight.defined() && call.label_smoothing != 0) summed.weight_sum = reduce(ReduceOp::sum, call.weight, 1);
  count_operations(logits.numel());
  logits.device().backend().cross_entropy_gradient(summed, weights, rows, indices, dlogits);
  return dlogits;
}

}  // namespace mnemo
