// VGG-16 (Simonyan and Zisserman, 2014): thirteen convolutions, three linear layers, no normalization.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// (N, 3, 224, 224) -> (N, 1000). The first linear layer takes 7 x 7 pixels: images of 224 to 255 pixels fit.
struct Vgg16 : nn::Module<Vgg16> {
  nn::Sequential features;
  nn::Sequential classifier;

  Vgg16();
  Tensor forward(const Tensor& x) { return classifier(features(x)); }
  /// Each convolution and linear layer with what follows it; the one before a pool apart from ReLU and pool.
  std::vector<Stage> stages() const;
  void visit(nn::Visitor& v) { v.child("features", features), v.child("classifier", classifier); }
};

}  // namespace mnemo::models
