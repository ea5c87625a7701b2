// Normalization of each sample by itself: over its last axes (layer_norm, rms_norm), or over groups of its channels
// (group_norm).
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

Tensor row_norm(const RowNormSizes& sizes, double epsilon, const Tensor& x, const Tensor& weight, const Tensor& bias,
                bool centered = true) {
  RowNormCall call{sizes, epsilon, x.array(), weight.array(), bias.array(), {}, {}, {}, centered};
  row_norm(call);
  const bool wanted = needs_grad(x) || needs_grad(weight);
  return record(
      {&x, &weight, &bias}, std::move(call.y),
      [sizes, weight_like = weight.array().layout().shape, weight_dtype = weight.array().dtype(),
       bias_like = bias.array().layout().shape, bias_dtype = bias.array().dtype(), x = save_if(wanted, x.array()),
       weight = save_if(needs_grad(x), weight.array()), mean = save_if(wanted && centered, call.mean),
       inverse_deviation = save_if(wanted, call.inverse_deviation), centered](Backward& back) {
        RowNormGradientCall gradient{sizes, back.take_grad().contiguous(), {}, {}, {}, {}, {}, {}, {}, centered};
        const auto of_channels = [&](DType dtype) {
          return Array(Shape{sizes.channels}, dtype, gradient.grad.device());
        };
        if (back.needs(1)) gradient.dweight = of_channels(weight_dtype);
        if (back.needs(2)) gradient.dbias = of_channels(bias_dtype);
        if (back.needs(0) || back.needs(1)) {
          gradient.x = x.get();
          if (centered) gradient.mean = mean.get();
          gradient.inverse_deviation = inverse_deviation.get();
        }
        if (back.needs(0) && weight.defined()) gradient.weight = weight.get();
        row_norm_gradient(gradient, back.needs(0));
        if (back.needs(0)) back.give(0, std::move(gradient.dx));
        if (back.needs(1)) back.give(1, gradient.dweight.reshape(weight_like));
        if (back.needs(2)) back.give(2, gradient.dbias.reshape(bias_like));
      });
}

void check_numbers(const char* op, const char* what, const Tensor& numbers, const Shape& shape, const Tensor& x) {
  if (!numbers.defined()) return;
  check_floating(op, numbers.array());
  check_same_device(op, x.array(), numbers.array());
  if (!(numbers.shape() == shape)) {
    fail<ShapeError>(op, fmt::format("{} {} must have shape {} for input {}", what, numbers.shape().text(),
                                     shape.text(), x.shape().text()));
  }
}

void check_epsilon(const char* op, double epsilon) {
  if (!(epsilon >= 0)) fail<ShapeError>(op, fmt::format("epsilon {} must not be negative", epsilon));
}

/// Over the last axes, which have the sizes `shape`.
Tensor norm_of_last(const char* op, const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias,
                    double epsilon, bool centered) {
  const Operation operation(op);
  check_floating(op, x.array());
  check_epsilon(op, epsilon);
  const int first = x.rank() - shape.rank();
  bool fits = shape.rank() > 0 && first >= 0;
  for (int axis = 0; fits && axis < shape.rank(); ++axis) fits = x.size(first + axis) == shape[axis];
  if (!fits) {
    fail<ShapeError>(
        op, fmt::format("input {} must end with the sizes {} that are normalized", x.shape().text(), shape.text()));
  }
  check_numbers(op, "weight", weight, shape, x);
  check_numbers(op, "bias", bias, shape, x);
  std::int64_t rows = 1;
  for (int axis = 0; axis < first; ++axis) rows *= x.size(axis);
  const RowNormSizes sizes{.rows = rows, .features = shape.numel(), .channels = shape.numel(), .inner = 1};
  return row_norm(sizes, epsilon, x, weight, bias, centered);
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias, double epsilon) {
  return norm_of_last("layer_norm", x, shape, weight, bias, epsilon, true);
}

Tensor rms_norm(const Tensor& x, const Shape& shape, const Tensor& weight, double epsilon) {
  return norm_of_last("rms_norm", x, shape, weight, {}, epsilon, false);
}

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias, double epsilon) {
  constexpr const char* op = "group_norm";
  const Operation operation(op);
  check_floating(op, x.array());
  check_epsilon(op, epsilon);
  if (x.rank() < 2) fail<ShapeError>(op, fmt::format("input {} must be (N, C) or (N, C, sizes...)", x.shape().text()));
  const std::int64_t batch = x.size(0), channels = x.size(1);
  if (groups < 1 || channels % groups != 0) {
    fail<ShapeError>(op, fmt::format("groups {} must be positive and divide the {} channels of {}", groups, channels,
                                     x.shape().text()));
  }
  check_numbers(op, "weight", weight, Shape{channels}, x);
  check_numbers(op, "bias", bias, Shape{channels}, x);
  std::int64_t inner = 1;
  for (int axis = 2; axis < x.rank(); ++axis) inner *= x.size(axis);
  const RowNormSizes sizes{
      .rows = batch * groups, .features = channels / groups * inner, .channels = channels, .inner = inner};
  return row_norm(sizes, epsilon, x, weight, bias);
}

}  // namespace mnemo
