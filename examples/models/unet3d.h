// A 3-D U-Net (after Çiçek et al., 2016): segments volumes, with a skip from each level of the encoder to the decoder.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// Two convolutions with batch normalization, which keep the volume's size. (N, in, D, H, W) -> (N, out, D, H, W)
struct DoubleConv3d : nn::Module<DoubleConv3d> {
  nn::Conv3d conv1, conv2;
  nn::BatchNorm3d bn1, bn2;

  DoubleConv3d(std::int64_t in, std::int64_t out);
  Tensor forward(const Tensor& x) { return bn2.with_relu(conv2(bn1.with_relu(conv1(x)))); }
  void visit(nn::Visitor& v) {
    v.child("conv1", conv1), v.child("bn1", bn1), v.child("conv2", conv2), v.child("bn2", bn2);
  }
};

/// (N, 1, S, S, S) -> logits (N, 3, S, S, S) for three classes per voxel; S is a multiple of 4.
struct UNet3d : nn::Module<UNet3d> {
  DoubleConv3d encoder1{1, 16}, encoder2{16, 32};
  DoubleConv3d bottom{32, 64};
  DoubleConv3d decoder2{64 + 32, 32}, decoder1{32 + 16, 16};
  nn::Conv3d head{{.in = 16, .out = 3, .kernel = 1}};

  Tensor forward(const Tensor& x);
  /// Each convolution, each normalization with what follows it, and every joining of a skip with what comes from below.
  std::vector<Stage> stages();
  void visit(nn::Visitor& v);
};

}  // namespace mnemo::models
