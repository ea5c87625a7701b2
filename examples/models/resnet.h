// ResNet-18 and ResNet-50 (He et al., 2015) for 1000 classes.
#pragma once

#include <optional>

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// Which residual block a ResNet is made of: two 3x3 convolutions, or 1x1, 3x3 and 1x1 with four times the channels.
enum class ResidualBlock { basic, bottleneck };

struct ResNetOptions {
  ResidualBlock block = ResidualBlock::basic;
  int depths[4] = {2, 2, 2, 2};  ///< blocks in each of the four stages
  std::int64_t classes = 1000;
};

/// (N, 3, S, S) -> (N, classes), for images of any size.
struct ResNet : nn::Module<ResNet> {
  nn::Conv2d conv1{{.in = 3, .out = 64, .kernel = 7, .stride = 2, .padding = 3, .bias = false}};
  nn::BatchNorm2d bn1{{.channels = 64}};
  nn::ReLU relu;
  nn::MaxPool2d maxpool{{.kernel = 3, .stride = 2, .padding = 1}};
  nn::Sequential layer1, layer2, layer3, layer4;
  nn::Linear fc;

  explicit ResNet(const ResNetOptions& options);
  Tensor forward(const Tensor& x);
  /// Each convolution, each normalization with what follows it, the head.
  std::vector<Stage> stages();
  void visit(nn::Visitor& v);
};

ResNet resnet18();
ResNet resnet50();

}  // namespace mnemo::models
