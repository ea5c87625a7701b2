#include <mnemo/nn/layers.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/families/check.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

namespace {

void check_positive(const char* layer, const char* what, std::int64_t value) {
  if (value <= 0) fail<ShapeError>(layer, fmt::format("{} is {}, it must be positive", what, value));
}

void check_channels(const char* layer, std::int64_t in, std::int64_t out, std::int64_t groups) {
  check_positive(layer, "in", in);
  check_positive(layer, "out", out);
  if (groups <= 0 || in % groups != 0 || out % groups != 0) {
    fail<ShapeError>(layer, fmt::format("groups {} must be positive and divide in {} and out {}", groups, in, out));
  }
}

Shape conv_weight_shape(const char* layer, const ConvLayerOptions& options, int rank) {
  check_channels(layer, options.in, options.out, options.groups);
  check_count(layer, "kernel", options.kernel, rank);
  check_count(layer, "stride", options.stride, rank);
  check_count(layer, "dilation", options.dilation, rank);
  check_count(layer, "padding", options.padding.extent(), rank);
  const std::string_view word = options.padding.word();
  if (!word.empty() && word != "same" && word != "valid") {
    fail<ShapeError>(layer, fmt::format("padding \"{}\" is neither numbers, \"same\" nor \"valid\"", word));
  }
  Dims sizes{options.out, options.in / options.groups};
  for (int axis = 0; axis < rank; ++axis) {
    check_positive(layer, "kernel", options.kernel[axis]);
    check_positive(layer, "stride", options.stride[axis]);
    check_positive(layer, "dilation", options.dilation[axis]);
    if (options.padding.extent()[axis] < 0)
      fail<ShapeError>(layer, fmt::format("padding is {}, it must not be negative", options.padding.extent()[axis]));
    sizes.push_back(options.kernel[axis]);
  }
  return Shape(sizes);
}

constexpr const char* conv_name(int rank) { return rank == 1 ? "Conv1d" : rank == 2 ? "Conv2d" : "Conv3d"; }

}  // namespace

template <int rank>
Conv<rank>::Conv(ConvLayerOptions layer_options) : options(layer_options) {
  const Shape shape = conv_weight_shape(conv_name(rank), options, rank);
  const double bound = kaiming_bound(shape.numel() / options.out);
  weight = uniform_parameter(shape, bound);
  if (options.bias) bias = uniform_parameter(Shape{options.out}, bound);
}

template <int rank>
Tensor Conv<rank>::forward(const Tensor& x) const {
  if constexpr (rank == 1)
    return conv1d(x, weight, bias, call_options());
  else if constexpr (rank == 2)
    return conv2d(x, weight, bias, call_options());
  else
    return conv3d(x, weight, bias, call_options());
}

template <int rank>
Tensor Conv<rank>::with_relu(const Tensor& x, bool pooled) {
  if (!this->in_place) return relu((*this)(x));
  const memory::ModuleScope scope(*this->path ? this->path : memory::current_tag().module);
  if constexpr (rank == 1)
    return conv1d_relu(x, weight, bias, call_options(), pooled);
  else if constexpr (rank == 2)
    return conv2d_relu(x, weight, bias, call_options(), pooled);
  else
    return conv3d_relu(x, weight, bias, call_options(), pooled);
}

template struct Conv<1>;
template struct Conv<2>;
template struct Conv<3>;

namespace {

constexpr const char* conv_transpose_name(int rank) {
  return rank == 1 ? "ConvTranspose1d" : rank == 2 ? "ConvTranspose2d" : "ConvTranspose3d";
}

}  // namespace

template <int rank>
ConvTranspose<rank>::ConvTranspose(ConvTransposeLayerOptions layer_options) : options(layer_options) {
  const char* name = conv_transpose_name(rank);
  check_channels(name, options.in, options.out, options.groups);
  check_count(name, "padding", options.padding, rank);
  check_count(name, "output_padding", options.output_padding, rank);
  // The rest is what is asked of the convolution from the result to the input, whose weight has the same shape.
  const Shape shape = conv_weight_shape(name,
                                        {.in = options.out,
                                         .out = options.in,
                                         .kernel = options.kernel,
                                         .stride = options.stride,
                                         .dilation = options.dilation,
                                         .groups = options.groups},
                                        rank);
  for (int axis = 0; axis < rank; ++axis) {
    const std::int64_t more = options.output_padding[axis];
    if (options.padding[axis] < 0 || more < 0 || more >= options.stride[axis]) {
      fail<ShapeError>(name, fmt::format("padding {} must not be negative, nor output_padding {}, which must be less "
                                         "than the stride {}",
                                         options.padding[axis], more, options.stride[axis]));
    }
  }
  const double bound = kaiming_bound(shape.numel() / options.in);
  weight = uniform_parameter(shape, bound);
  if (options.bias) bias = uniform_parameter(Shape{options.out}, bound);
}

template <int rank>
Tensor ConvTranspose<rank>::forward(const Tensor& x) const {
  const ConvTransposeOptions call{options.stride,   options.padding, options.output_padding,
                                  options.dilation, options.groups,  plans_.get()};
  if constexpr (rank == 1)
    return conv_transpose1d(x, weight, bias, call);
  else if constexpr (rank == 2)
    return conv_transpose2d(x, weight, bias, call);
  else
    return conv_transpose3d(x, weight, bias, call);
}

template struct ConvTranspose<1>;
template struct ConvTranspose<2>;
template struct ConvTranspose<3>;

Linear::Linear(LinearOptions layer_options) : options(layer_options) {
  check_positive("Linear", "in", options.in);
  check_positive("Linear", "out", options.out);
  const double bound = kaiming_bound(options.in);
  weight = uniform_parameter(Shape{options.out, options.in}, bound);
  if (options.bias) bias = uniform_parameter(Shape{options.out}, bound);
}

template <int rank>
BatchNorm<rank>::BatchNorm(BatchNormLayerOptions layer_options) : options(layer_options) {
  check_positive("BatchNorm", "channels", options.channels);
  if (!(options.epsilon >= 0) || !(options.momentum >= 0 && options.momentum <= 1)) {
    fail<ShapeError>("BatchNorm", fmt::format("epsilon {} must not be negative, and momentum {} lies between 0 and 1",
                                              options.epsilon, options.momentum));
  }
  const Shape shape{options.channels};
  if (options.affine) {
    weight = constant_parameter(shape, 1);
    bias = constant_parameter(shape, 0);
  }
  if (options.track_running_stats) {
    running_mean = constant_buffer(shape, 0);
    running_variance = constant_buffer(shape, 1);
  }
}

template <int rank>
void BatchNorm<rank>::check_rank(const Tensor& x) const {
  if (x.defined() && x.rank() != rank + 2 && !(rank == 1 && x.rank() == 2)) {
    fail<ShapeError>("batch_norm", fmt::format("input {} must have {} dimensions{}", x.shape().text(), rank + 2,
                                               rank == 1 ? ", or 2" : ""));
  }
}

template <int rank>
BatchNormOptions BatchNorm<rank>::call_options() const {
  return {.training = this->training || !options.track_running_stats,
          .momentum = options.momentum,
          .epsilon = options.epsilon,
          .lean = this->in_place};
}

template <int rank>
Tensor BatchNorm<rank>::forward(const Tensor& x) {
  check_rank(x);
  return batch_norm(x, weight, bias, running_mean, running_variance, call_options());
}

template <int rank>
Tensor BatchNorm<rank>::with_relu(const Tensor& x) {
  if (!this->in_place) return relu((*this)(x));
  const memory::ModuleScope scope(*this->path ? this->path : memory::current_tag().module);
  check_rank(x);
  return batch_norm_relu(x, weight, bias, running_mean, running_variance, call_options());
}

template <int rank>
Tensor BatchNorm<rank>::with_add_relu(const Tensor& x, const Tensor& residual) {
  if (!this->in_place) return relu((*this)(x) + residual);
  const memory::ModuleScope scope(*this->path ? this->path : memory::current_tag().module);
  check_rank(x);
  return batch_norm_add_relu(x, residual, weight, bias, running_mean, running_variance, call_options());
}

PReLU::PReLU(std::int64_t channels, double initial) {
  check_positive("PReLU", "channels", channels);
  weight = constant_parameter(Shape{channels}, initial);
}

Dropout::Dropout(double probability) : p(probability) {
  if (!(p >= 0 && p <= 1)) fail<ShapeError>("Dropout", fmt::format("probability {} is not between 0 and 1", p));
}

template struct BatchNorm<1>;
template struct BatchNorm<2>;
template struct BatchNorm<3>;

}  // namespace mnemo::nn
