// Normalization of each sample by itself: over its last axes (layer_norm), or over groups of its channels (group_norm).
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

/// The same row-major elements in two ways: as rows, each of which is brought to mean 0 and variance 1, and as
/// (batch, channels, inner), of which each channel has a weight and a bias.
struct RowNorm {
  std::int64_t rows, features;
  std::int64_t batch, channels, inner;
  double epsilon;

  Dims by_rows() const { return {rows, features}; }
  Dims by_channels() const { return {batch, channels, inner}; }
  /// A number per channel as it broadcasts against those.
  Array per_channel(const Array& x, DType dtype) const { return x.to(dtype).reshape({channels, 1}); }
};

/// Normalizes rows of x; with `mean` and `inverse_deviation` once more by those, else it fills them.
Array normalized(const RowNorm& norm, const Array& x, Array& mean, Array& inverse_deviation) {
  NormalizeCall call;
  call.channels = norm.rows;
  call.inner = norm.features;
  call.epsilon = norm.epsilon;
  call.given = mean.defined();
  call.x = x.contiguous().reshape(norm.by_rows());
  call.mean = mean;
  call.inverse_deviation = inverse_deviation;
  normalize(call);
  mean = call.mean;
  inverse_deviation = call.inverse_deviation;
  return call.y;
}

/// What takes a number per channel for its statistics does the rest, too: those of mean 0 and deviation 1.
template <class Call>
Call per_channel_call(const RowNorm& norm, const Array& x) {
  const DType dtype = x.dtype() == DType::float64 ? DType::float64 : DType::float32;
  Call call;
  call.batch = norm.batch;
  call.channels = norm.channels;
  call.inner = norm.inner;
  call.training = false;
  call.x = x.reshape(norm.by_channels());
  call.mean = full(Shape{norm.channels}, 0, dtype, x.device());
  call.inverse_deviation = full(Shape{norm.channels}, 1, dtype, x.device());
  return call;
}

/// y * weight + bias: in the memory of y, unless its dtype is narrower than theirs.
Array affine(const RowNorm& norm, Array y, const Array& weight, const Array& bias) {
  const bool in_place =
      (!weight.defined() || weight.dtype() == y.dtype()) && (!bias.defined() || bias.dtype() == y.dtype());
  if (in_place) {
    const Array values = y.reshape(norm.by_channels());
    if (weight.defined()) map_into(BinaryOp::multiply, values, norm.per_channel(weight, y.dtype()), values);
    if (bias.defined()) map_into(BinaryOp::add, values, norm.per_channel(bias, y.dtype()), values);
    return y;
  }
  auto call = per_channel_call<NormalizeCall>(norm, y);
  call.given = true;
  call.weight = weight.defined() ? weight.reshape({norm.channels}) : weight;
  call.bias = bias.defined() ? bias.reshape({norm.channels}) : bias;
  normalize(call);
  return call.y;
}

Tensor row_norm(const RowNorm& norm, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  Array mean, inverse_deviation;
  Array y = normalized(norm, x.array(), mean, inverse_deviation);
  y = affine(norm, std::move(y), weight.array(), bias.array()).reshape(x.shape());
  const bool wanted = needs_grad(x) || needs_grad(weight);
  return record(
      {&x, &weight, &bias}, std::move(y),
      [norm, weight_like = weight.array().layout().shape, weight_dtype = weight.array().dtype(),
       bias_like = bias.array().layout().shape, bias_dtype = bias.array().dtype(), x = save_if(wanted, x.array()),
       weight = save_if(needs_grad(x), weight.array()), mean = save_if(wanted, mean),
       inverse_deviation = save_if(wanted, inverse_deviation)](Backward& back) {
        Array g = back.take_grad().contiguous();
        if (back.needs(1)) {
          // The normalized values were not kept: they are computed again.
          Array means = mean.get(), deviations = inverse_deviation.get();
          auto call = per_channel_call<NormalizeGradientCall>(norm, normalized(norm, x.get(), means, deviations));
          call.grad = g.reshape(norm.by_channels());
          call.dweight = Array(Shape{norm.channels}, weight_dtype, g.device());
          if (back.needs(2)) call.dbias = Array(Shape{norm.channels}, bias_dtype, g.device());
          normalize_gradient(call);
          back.give(1, call.dweight.reshape(weight_like));
          if (back.needs(2)) back.give(2, call.dbias.reshape(bias_like));
        } else if (back.needs(2)) {
          const Array sums = reduce(ReduceOp::sum, g.reshape(norm.by_channels()), 0b101u, false);
          back.give(2, sums.reshape(bias_like).to(bias_dtype));
        }
        if (!back.needs(0)) return;
        if (weight.defined())
          g = map(BinaryOp::multiply, g.reshape(norm.by_channels()), norm.per_channel(weight.get(), g.dtype()));
        NormalizeGradientCall call;
        call.channels = norm.rows;
        call.inner = norm.features;
        call.x = x.get().contiguous().reshape(norm.by_rows());
        call.grad = g.reshape(norm.by_rows());
        call.mean = mean.get();
        call.inverse_deviation = inverse_deviation.get();
        call.dx = Array(call.x.shape(), call.x.dtype(), call.x.device());
        g = Array();
        normalize_gradient(call);
        back.give(0, call.dx.reshape(x.get().shape()));
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
  return row_norm({rows, shape.numel(), rows, shape.numel(), 1, epsilon}, x, weight, bias);
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
  return row_norm({batch * groups, channels / groups * inner, batch, channels, inner, epsilon}, x, weight, bias);
}

}  // namespace mnemo
