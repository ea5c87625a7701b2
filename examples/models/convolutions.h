// Single convolutions and two small layers around one: the smallest programs in which memory can be seen.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// One convolution under the name "conv". (N, in, sizes...) -> (N, out, sizes...)
template <int rank>
struct SingleConv : nn::Module<SingleConv<rank>> {
  nn::Conv<rank> conv;

  explicit SingleConv(nn::ConvLayerOptions options) : conv(options) {}
  Tensor forward(const Tensor& x) { return conv(x); }
  void visit(nn::Visitor& v) { v.child("conv", conv); }
};

/// Average pooling halves the length before the convolution sees it. (N, 128, L) -> (N, 64, L / 2 - 2)
struct DownsampledConv1d : nn::Module<DownsampledConv1d> {
  nn::AvgPool1d downsample{{.kernel = 2}};
  nn::Conv1d conv{{.in = 128, .out = 64, .kernel = 3}};

  Tensor forward(const Tensor& x) { return conv(downsample(x)); }
  void visit(nn::Visitor& v) { v.child("downsample", downsample), v.child("conv", conv); }
};

/// A convolution per channel, then one across channels: fewer parameters, one activation more.
/// (N, 128, L) -> (N, 64, L - 2)
struct SeparableConv1d : nn::Module<SeparableConv1d> {
  nn::Conv1d depthwise{{.in = 128, .out = 128, .kernel = 3, .groups = 128}};
  nn::Conv1d pointwise{{.in = 128, .out = 64, .kernel = 1}};

  Tensor forward(const Tensor& x) { return pointwise(depthwise(x)); }
  void visit(nn::Visitor& v) { v.child("depthwise", depthwise), v.child("pointwise", pointwise); }
};

}  // namespace mnemo::models
