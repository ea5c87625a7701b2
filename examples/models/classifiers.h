// Small classifiers: two convolutions with pooling, one convolution with a wide linear layer, and a perceptron.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// Two convolutions and pools, then a linear layer made for 5 x 5 pixels: images of 26 to 29 pixels fit.
struct SimpleConv : nn::Module<SimpleConv> {
  nn::Conv2d conv1{{.in = 3, .out = 32, .kernel = 3}};
  nn::ReLU relu1{{.pooled = true}};
  nn::MaxPool2d pool1{{.kernel = 2}};
  nn::Conv2d conv2{{.in = 32, .out = 64, .kernel = 3}};
  nn::ReLU relu2{{.pooled = true}};
  nn::MaxPool2d pool2{{.kernel = 2}};
  nn::Linear fc{{.in = 64 * 5 * 5, .out = 10}};

  /// What the linear layer is given.
  Tensor features(const Tensor& x) {                     // (N, 3, 28, 28)
    const Tensor y = pool1(activated(conv1, relu1, x));  // (N, 32, 13, 13)
    return flatten(pool2(activated(conv2, relu2, y)));   // (N, 64*5*5)
  }
  Tensor forward(const Tensor& x) { return fc(features(x)); }  // (N, 10)
  void visit(nn::Visitor& v) {
    v.child("conv1", conv1), v.child("relu1", relu1), v.child("pool1", pool1);
    v.child("conv2", conv2), v.child("relu2", relu2), v.child("pool2", pool2);
    v.child("fc", fc);
  }

 private:
  Tensor activated(nn::Conv2d& conv, nn::ReLU& relu, const Tensor& x) const {
    return in_place ? conv.with_relu(x, relu.options.pooled) : relu(conv(x));
  }
};

/// One convolution, flattened into a linear layer made for 30 x 30 pixels, which holds nearly all parameters.
struct FlatNetwork : nn::Module<FlatNetwork> {
  nn::Conv2d conv1;
  nn::Linear fc1;

  explicit FlatNetwork(std::int64_t channels)
      : conv1({.in = 3, .out = channels, .kernel = 3}), fc1({.in = channels * 30 * 30, .out = 128}) {}
  Tensor forward(const Tensor& x) { return fc1(flatten(conv1.with_relu(x))); }  // (N, 3, 32, 32) -> (N, 128)
  void visit(nn::Visitor& v) { v.child("conv1", conv1), v.child("fc1", fc1); }
};

/// Three linear layers over an image of 28 x 28 pixels.
struct Perceptron : nn::Module<Perceptron> {
  nn::Linear fc1{{.in = 28 * 28, .out = 512}};
  nn::Linear fc2{{.in = 512, .out = 512}};
  nn::Linear fc3{{.in = 512, .out = 10}};

  Tensor forward(const Tensor& x) { return fc3(relu(fc2(relu(fc1(flatten(x)))))); }  // (N, 1, 28, 28) -> (N, 10)
  void visit(nn::Visitor& v) { v.child("fc1", fc1), v.child("fc2", fc2), v.child("fc3", fc3); }
};

}  // namespace mnemo::models
