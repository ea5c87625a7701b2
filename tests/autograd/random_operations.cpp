// The operations of random programs.
#include <algorithm>
#include <cmath>
#include <utility>

#include "random_program.h"

namespace programs {

using namespace mnemo;

Tensor Program::convolve(const Tensor& x) {
  const int rank = x.rank() - 2;
  const std::int64_t channels = x.size(1);
  const std::int64_t groups = chance(25) ? channels : channels % 2 == 0 && chance(15) ? 2 : 1;
  const std::int64_t out = groups * any(1, std::max<std::int64_t>(1, 8 / groups));
  const std::int64_t kernel = any(1, 3), padding = any(0, kernel - 1), dilation = chance(20) ? 2 : 1;
  const ConvOptions options{.stride = any(1, 2), .padding = padding, .dilation = dilation, .groups = groups};
  Dims sizes{out, channels / groups};
  for (int axis = 0; axis < rank; ++axis) {
    if (x.size(2 + axis) + 2 * padding <= dilation * (kernel - 1)) return {};
    sizes.push_back(kernel);
  }
  const Shape shape(sizes);
  const Tensor w = parameter(shape, 1 / std::sqrt(static_cast<double>(shape.numel() / out)));
  const Tensor b = chance(60) ? parameter({out}, 0.3) : Tensor();
  if (groups == 1 && chance(20)) return convolve_transposed(x, b.defined() ? b : parameter({out}, 0.3), kernel);
  if (!options_.smooth && chance(25)) {
    const bool keep_signs = chance(50);
    return rank == 1   ? conv1d_relu(x, w, b, options, keep_signs)
           : rank == 2 ? conv2d_relu(x, w, b, options, keep_signs)
                       : conv3d_relu(x, w, b, options, keep_signs);
  }
  return rank == 1 ? conv1d(x, w, b, options) : rank == 2 ? conv2d(x, w, b, options) : conv3d(x, w, b, options);
}

Tensor Program::convolve_transposed(const Tensor& x, const Tensor& bias, std::int64_t kernel) {
  const int rank = x.rank() - 2;
  const std::int64_t stride = any(1, 2), padding = any(0, (kernel - 1) / 2), output_padding = any(0, stride - 1);
  Dims sizes{x.size(1), bias.size(0)};
  std::int64_t places = 1;
  for (int axis = 0; axis < rank; ++axis) sizes.push_back(kernel), places *= x.size(2 + axis) * stride;
  if (places > 1500) return {};
  const Tensor w = parameter(Shape(sizes), 1 / std::sqrt(static_cast<double>(x.size(1) * kernel)));
  const ConvTransposeOptions options{.stride = stride, .padding = padding, .output_padding = output_padding};
  return rank == 1   ? conv_transpose1d(x, w, bias, options)
         : rank == 2 ? conv_transpose2d(x, w, bias, options)
                     : conv_transpose3d(x, w, bias, options);
}

Tensor Program::pool(const Tensor& x) {
  const int rank = x.rank() - 2;
  const std::int64_t kernel = any(1, 3), padding = any(0, kernel / 2);
  const bool takes_largest = !options_.smooth && chance(60);
  // A window that is nothing but padding has no largest element: -inf.
  const std::int64_t dilation = takes_largest && padding == 0 && chance(20) ? 2 : 1;
  for (int axis = 2; axis < x.rank(); ++axis) {
    if (x.size(axis) + 2 * padding <= dilation * (kernel - 1)) return {};
  }
  PoolOptions options{.kernel = kernel, .stride = any(0, 2), .padding = padding, .dilation = dilation};
  options.ceil_mode = chance(30);
  options.count_include_pad = chance(50);
  if (takes_largest)
    return rank == 1 ? max_pool1d(x, options) : rank == 2 ? max_pool2d(x, options) : max_pool3d(x, options);
  return rank == 1 ? avg_pool1d(x, options) : rank == 2 ? avg_pool2d(x, options) : avg_pool3d(x, options);
}

Tensor Program::normalize_rows(const Tensor& x) {
  const std::int64_t channels = x.size(1), last = x.size(-1);
  const bool by_channels = chance(50);
  const std::int64_t features = by_channels ? channels : last;
  const Tensor w = chance(70) ? parameter({features}, 0.3, 1) : Tensor(),
               b = chance(50) ? parameter({features}, 0.3) : Tensor();
  if (!by_channels && last < 2) return {};
  if (!by_channels) return chance(40) ? rms_norm(x, {last}, w) : layer_norm(x, {last}, w, b);
  const std::int64_t groups = channels % 2 == 0 && chance(50) ? 2 : 1;
  return x.numel() / x.size(0) / groups < 2 ? Tensor() : group_norm(x, groups, w, b);
}

Tensor Program::normalize(const Tensor& x) {
  const std::int64_t channels = x.size(1);
  if (chance(30)) return normalize_rows(x);
  if (x.numel() / channels < 4) return {};
  const bool is_affine = chance(70), is_tracked = chance(70);
  const Tensor w = is_affine ? parameter({channels}, 0.3, 1) : Tensor(),
               b = is_affine ? parameter({channels}, 0.3) : Tensor();
  const Tensor mean = is_tracked ? buffer(channels, 0) : Tensor(),
               variance = is_tracked ? buffer(channels, 1) : Tensor();
  const BatchNormOptions options{.training = !is_tracked || chance(80), .lean = chance(30)};
  switch (options_.smooth ? 0 : any(0, 3)) {
    case 1:
      return batch_norm_relu(x, w, b, mean, variance, options);
    case 2:
      return batch_norm_add_relu(x, pick_like(x), w, b, mean, variance, options);
    case 3:
      if (is_affine) return batch_norm_leaky_relu(x, w, b, mean, variance, {.norm = options});
      [[fallthrough]];
    default:
      return batch_norm(x, w, b, mean, variance, options);
  }
}

Tensor Program::reshape(const Tensor& x) {
  const int axis = axis_of(x);
  switch (any(0, 13)) {
    case 9:
      return x.rank() < 5 && x.numel() < 2000 ? stack({x, pick_like(x)}, axis) : Tensor();
    case 10: {
      const std::vector<Tensor> parts = chunk(x, axis, any(1, 3));
      return parts[static_cast<std::size_t>(any(0, static_cast<std::int64_t>(parts.size()) - 1))];
    }
    case 11:
      return x.numel() < 2000 ? pad(x, {{any(0, 2), any(0, 2)}}, 0.25) : Tensor();
    case 12: {  // as many slices as there are numbers across the axis, whichever these are
      if (options_.smooth || x.numel() > 400) return {};
      return index_select(x, axis, flatten(unsqueeze(arg_max(x, axis), 0), 0));
    }
    case 13: {  // two to a place
      const std::int64_t size = x.size(axis);
      const Tensor y = pick_like(x), places = size - 1 - arange(size, x.device()) / 2;
      if (chance(50)) return index_add(x, axis, places, y);
      Dims column;
      for (int i = 0; i < x.rank(); ++i) column.push_back(i == axis ? size : 1);
      return scatter_add(x, axis, expand(mnemo::reshape(places, column), x.shape()), y);
    }
    case 0: {
      std::vector<std::int64_t> axes;
      for (int i = 0; i < x.rank(); ++i) axes.insert(axes.begin() + any(0, i), i);
      Dims order;
      for (const std::int64_t from : axes) order.push_back(from);
      return permute(x, order);
    }
    case 1: {
      const std::int64_t begin = any(0, x.size(axis) - 1), end = any(begin + 1, x.size(axis));
      return slice(x, axis, begin, end, any(1, 2));
    }
    case 2:
      return contiguous(x);
    case 3:
      return x.numel() < 4000 ? concat({x, pick_like(x)}, axis) : Tensor();
    case 4:
      return x.rank() > 2 ? unsqueeze(flatten(x), 1) : squeeze(unsqueeze(x, axis), axis);
    case 5: {
      Dims sizes;
      for (int i = x.rank() - 1; i >= 0; --i) sizes.push_back(x.size(i));
      return mnemo::reshape(x, sizes);
    }
    case 6:  // which element is the largest may change with rounding, what it is does not
      return options_.smooth ? Tensor() : gather(x, axis, unsqueeze(arg_max(x, axis), axis));
    case 7:
      if (x.rank() < 3 || x.rank() > 5 || x.numel() > 2000) return {};
      if (chance(50)) return upsample_nearest(x, any(1, 2));
      return interpolate(x, any(1, 8), {static_cast<ResampleMode>(any(0, 3)), chance(30)});
    default:
      return expand(mean(x, {axis}, true), x.shape());
  }
}

Tensor Program::multiply(const Tensor& x) {
  const std::int64_t inner = x.size(-1), out = any(1, 8);
  const double scale = 1 / std::sqrt(static_cast<double>(inner));
  switch (any(0, 3)) {
    case 3:
      if (x.rank() < 2 || x.rank() > 4 || x.size(-2) > 64) return {};
      return scaled_dot_product_attention(x, tanh(pick_like(x)), pick_like(x), {},
                                          {.causal = chance(50), .dropout = chance(30) ? 0.3 : 0});
    case 0:
      return linear(x, parameter({out, inner}, scale), chance(50) ? parameter({out}, 0.3) : Tensor());
    case 1:
      return matmul(x, parameter({inner, out}, scale));
    default:
      return x.rank() < 2 || x.size(-2) > 64 ? Tensor() : matmul(x, transpose(pick_like(x), -1, -2)) * scale;
  }
}

Tensor Program::combine(const Tensor& x) {
  const Tensor y = pick_like(x);
  const int axis = axis_of(x);
  switch (any(0, options_.smooth ? 8 : 16)) {
    case 0:
      return x + y;
    case 1:
      return x - y;
    case 2:
      return tanh(x) * y;
    case 3:
      return x / (y * y + 1.0);
    case 4:
      return x - mean(x, {axis}, true);
    case 5:
      return sum(tanh(x), {axis}, true) * sigmoid(x);
    case 6:
      return x - variance(x, {axis}, true, 0);
    case 7:
      return mse_loss(x, y, Reduction::none);
    case 8:
      return binary_cross_entropy_with_logits(x, sigmoid(y), {Reduction::none});
    case 9:
      return maximum(x, y);
    case 10:
      return minimum(x, y);
    case 11:
      return where(less(x, y), x, 0.5 * y);
    case 12:
      return where(greater_equal(x, 0.25), x, 0.5);
    case 13:
      return l1_loss(x, y, Reduction::none);
    case 14:
      return huber_loss(x, y, 0.5, Reduction::none);
    case 15:
      return x / (norm(x, {axis}, true) + 1.0);
    default:
      return x - max(x, axis, true);
  }
}

Tensor Program::map(const Tensor& x) {
  switch (any(0, options_.smooth ? 9 : 14)) {
    case 0:
      return sin(x);
    case 1:
      return cos(x);
    case 2:
      return sigmoid(x);
    case 3:
      return tanh(x);
    case 4:
      return gelu(x);
    case 5:
      return silu(x);
    case 6:
      return 0.5 * x + 0.25;
    case 7:
      return sqrt(x * x + 1.0);
    case 8:
      return chance(50) ? softmax(x, axis_of(x)) : log_softmax(x, axis_of(x));
    case 9:
      return dropout(x, 0.3);
    case 10:
      return relu(x);
    case 11:
      return relu_bits(x);
    case 12:
      return leaky_relu(x, 0.1);
    case 13:
      return clamp(x, -0.7, 0.8);
    default:
      return abs(x);
  }
}

}  // namespace programs
