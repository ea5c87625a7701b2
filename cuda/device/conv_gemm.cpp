// Convolutions over an unfolded matrix: in the workspace, one image and group at a time; or the images themselves where
// every place reads its own element only.
#include <cassert>

#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/kernels/multiply.h>

namespace mnemo::cuda {

namespace {

/// The operands of one group as matrices: w (K, taps), y (images, K, places), unfolded x (images, taps, places).
class Matrices {
 public:
  explicit Matrices(const ConvCall& call)
      : call_(call),
        p_(call.problem),
        innermost_(call.layout == ConvLayout::channels_last),
        group_in_(p_.in_channels / p_.groups),
        group_out_(p_.out_channels / p_.groups),
        places_(p_.out[0] * p_.out[1] * p_.out[2]),
        taps_(group_in_ * p_.kernel[0] * p_.kernel[1] * p_.kernel[2]) {}

  Array weights(std::int64_t group, std::int64_t images) const {
    return view(call_.w, {images, group_out_, taps_}, {0, taps_, 1}, group * group_out_ * taps_);
  }
  Array y(std::int64_t group, std::int64_t first, std::int64_t images) const {
    return side(call_.y, p_.out_channels, group_out_, group, first, images);
  }
  /// Of one image, in the workspace.
  Array unfolded() const {
    const std::int64_t size = size_of(p_.dtype), offset = call_.workspace.layout().offset;
    assert(offset % size == 0 && call_.workspace.bytes() >= taps_ * places_ * size);
    return {call_.workspace.storage(),
            {Shape{1, taps_, places_}, innermost_ ? Dims{0, 1, taps_} : Dims{0, places_, 1}, offset / size},
            p_.dtype};
  }
  /// The images themselves. REQUIRES: there is no workspace.
  Array x(std::int64_t group, std::int64_t first, std::int64_t images) const {
    return side(call_.x, p_.in_channels, group_in_, group, first, images);
  }

 private:
  Array side(const Array& array, std::int64_t all, std::int64_t channels, std::int64_t group, std::int64_t first,
             std::int64_t images) const {
    const std::int64_t channel = innermost_ ? 1 : places_, place = innermost_ ? all : 1;
    return view(array, {images, channels, places_}, {all * places_, channel, place},
                first * all * places_ + group * channels * channel);
  }
  static Array view(const Array& array, const Dims& shape, const Dims& strides, std::int64_t offset) {
    return {array.storage(), {Shape(shape), strides, array.layout().offset + offset}, array.dtype()};
  }

  const ConvCall& call_;
  const ConvProblem& p_;
  bool innermost_;
  std::int64_t group_in_, group_out_, places_, taps_;
};

/// y = bias: the product is added to it, and rounded once with it.
void spread_bias(CudaBackend& backend, const ConvCall& call) {
  Dims strides = call.y.strides();
  for (int axis = 0; axis < strides.rank(); ++axis) strides[axis] = axis == 1 ? call.bias.strides()[0] : 0;
  backend.copy({call.bias.storage(), {call.y.shape(), strides, call.bias.layout().offset}, call.bias.dtype()}, call.y);
}

void multiply(CudaBackend& backend, ConvPass pass, const Array& w, const Array& x, const Array& y, bool accumulate) {
  switch (pass) {
    case ConvPass::forward:
      return backend.matmul({.a = w, .b = x, .out = y, .accumulate = accumulate});
    case ConvPass::data_gradient:
      return backend.matmul({.a = w.transpose(1, 2), .b = y, .out = x});
    case ConvPass::weight_gradient:
      break;
  }
  backend.matmul({.a = y, .b = x.transpose(1, 2), .out = w, .accumulate = accumulate});
}

}  // namespace

void conv_gemm(CudaBackend& backend, const ConvCall& call) {
  const ConvProblem& p = call.problem;
  const Matrices matrices(call);
  const bool sums_images = call.pass == ConvPass::weight_gradient;
  if (call.bias.defined()) spread_bias(backend, call);
  for (std::int64_t group = 0; group < p.groups; ++group) {
    if (!call.workspace.defined() && !sums_images) {
      multiply(backend, call.pass, matrices.weights(group, p.batch), matrices.x(group, 0, p.batch),
               matrices.y(group, 0, p.batch), call.bias.defined());
      continue;
    }
    for (std::int64_t image = 0; image < p.batch; ++image) {
      const bool in_place = !call.workspace.defined();
      const Array x = in_place ? matrices.x(group, image, 1) : matrices.unfolded();
      if (!in_place && call.pass != ConvPass::data_gradient)
        unfold(backend, call, image, group, call.workspace.data<std::uint8_t>());
      multiply(backend, call.pass, matrices.weights(group, 1), x, matrices.y(group, image, 1),
               sums_images ? image > 0 : call.bias.defined());
      if (!in_place && call.pass == ConvPass::data_gradient)
        fold(backend, call, image, group, call.workspace.data<std::uint8_t>());
    }
  }
}

}  // namespace mnemo::cuda
