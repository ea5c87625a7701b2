// Normalization of each sample by itself: over its last axes (layer_norm), or over groups of its channels (group_norm).
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

/// The sizes of rows and channels, and how many samples there are of these.
struct RowNorm {
  RowNormSizes sizes;
  std::int64_t batch;
  double epsilon;

  Dims by_channels() const { return {batch, sizes.channels, sizes.inner}; }
};

/// The gradients of weight and bias, which are wanted unless undefined: batch normalization's for a channel of mean 0
/// and deviation 1, given the normalized values. The bias's do not depend on these.
void give_channel_gradients(const RowNorm& norm, const Array& normalized, const Array& grad, const Array& dweight,
                            const Array& dbias) {
  NormalizeGradientCall call;
  call.batch = norm.batch;
  call.channels = norm.sizes.channels;
  call.inner = norm.sizes.inner;
  call.training = false;
  call.x = normalized.reshape(norm.by_channels());
  call.grad = grad.reshape(norm.by_channels());
  const DType dtype = compute_dtype(normalized.dtype());
  call.mean = full(Shape{norm.sizes.channels}, 0, dtype, grad.device());
  call.inverse_deviation = full(Shape{norm.sizes.channels}, 1, dtype, grad.device());
  call.dweight = dweight;
  call.dbias = dbias;
  normalize_gradient(call);
}

/// x with each row normalized by what is known of it.
Array normalized_again(const RowNorm& norm, const Array& x, const Array& mean, const Array& inverse_deviation) {
  NormalizeCall call;
  call.channels = norm.sizes.rows;
  call.inner = norm.sizes.features;
  call.given = true;
  call.x = x.contiguous().reshape({norm.sizes.rows, norm.sizes.features});
  call.mean = mean;
  call.inverse_deviation = inverse_deviation;
  normalize(call);
  return call.y;
}

Tensor row_norm(const RowNorm& norm, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  RowNormCall call{norm.sizes, norm.epsilon, x.array(), weight.array(), bias.array(), {}, {}, {}};
  row_norm(call);
  const bool wanted = needs_grad(x) || needs_grad(weight);
  return record(
      {&x, &weight, &bias}, std::move(call.y),
      [norm, weight_like = weight.array().layout().shape, weight_dtype = weight.array().dtype(),
       bias_like = bias.array().layout().shape, bias_dtype = bias.array().dtype(), x = save_if(wanted, x.array()),
       weight = save_if(needs_grad(x), weight.array()), mean = save_if(wanted, call.mean),
       inverse_deviation = save_if(wanted, call.inverse_deviation)](Backward& back) {
        Array g = back.take_grad().contiguous();
        const Shape per_channel{norm.sizes.channels};
        if (back.needs(1)) {
          const Array dweight(per_channel, weight_dtype, g.device());
          const Array dbias = back.needs(2) ? Array(per_channel, bias_dtype, g.device()) : Array();
          // The normalized values were not kept: they are computed again.
          give_channel_gradients(norm, normalized_again(norm, x.get(), mean.get(), inverse_deviation.get()), g, dweight,
                                 dbias);
          back.give(1, dweight.reshape(weight_like));
          if (back.needs(2)) back.give(2, dbias.reshape(bias_like));
        } else if (back.needs(2)) {
          const Array dbias(per_channel, bias_dtype, g.device());
          give_channel_gradients(norm, g, g, {}, dbias);  // of which any values serve
          back.give(2, dbias.reshape(bias_like));
        }
        if (!back.needs(0)) return;
        RowNormGradientCall gradient{norm.sizes, std::move(g), x.get(), {}, mean.get(), inverse_deviation.get(), {}};
        if (weight.defined()) gradient.weight = weight.get();
        row_norm_gradient(gradient);
        back.give(0, std::move(gradient.dx));
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

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias, double epsilon) {
  constexpr const char* op = "layer_norm";
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
  return row_norm({sizes, rows, epsilon}, x, weight, bias);
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
  return row_norm({sizes, batch, epsilon}, x, weight, bias);
}

}  // namespace mnemo
