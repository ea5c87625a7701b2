#include "models/resnet.h"

namespace mnemo::models {

namespace {

struct BlockOptions {
  std::int64_t in = 64;
  std::int64_t width = 64;  ///< channels of its 3x3 convolutions
  std::int64_t stride = 1;
};

/// The way around a block: nothing, or a 1x1 convolution where the block changes the shape.
using Shortcut = std::optional<nn::Sequential>;

Shortcut shortcut(std::int64_t in, std::int64_t out, std::int64_t stride) {
  if (in == out && stride == 1) return std::nullopt;
  return nn::Sequential(nn::Conv2d({.in = in, .out = out, .kernel = 1, .stride = stride, .bias = false}),
                        nn::BatchNorm2d({.channels = out}));
}

/// The end of a block: the two ways come together.
Tensor joined(nn::BatchNorm2d& norm, const Tensor& y, Shortcut& way, const Tensor& x, bool in_place) {
  const auto around = [&] { return way ? (*way)(x) : x; };
  if (in_place) return norm.with_add_relu(y, around());
  const Tensor normalized = norm(y);
  return relu(normalized + around());
}

/// A block as a chain: its input lies below until the last stage takes the way around. Normalizations are stages of
/// their own: they cost little to compute again.
template <class Block>
std::vector<Stage> block_stages(Block& block, std::vector<nn::Conv2d*> convs, std::vector<nn::BatchNorm2d*> norms) {
  std::vector<Stage> list;
  for (std::size_t i = 0; i < convs.size(); ++i) {
    list.push_back(make_stage("conv", [conv = convs[i]](const Tensor& x) { return (*conv)(x); }));
    list.push_back(make_stage("norm", [&block, norm = norms[i]](const Tensor& x) {
      const memory::ModuleScope module(block.path);
      return norm->with_relu(x);
    }));
  }
  list.front().gives = 2;
  list.front().run = [conv = convs.front()](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {x[0], (*conv)(x[0])};
  };
  list.back().takes = 2;
  list.back().run = [&block, norm = norms.back()](std::span<const Tensor> x) -> std::vector<Tensor> {
    const memory::ModuleScope module(block.path);
    return {block.join(*norm, x[1], x[0])};
  };
  return list;
}

struct Basic : nn::Module<Basic> {
  static constexpr std::int64_t expansion = 1;
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  Shortcut downsample;

  explicit Basic(const BlockOptions& o)
      : conv1({.in = o.in, .out = o.width, .kernel = 3, .stride = o.stride, .padding = 1, .bias = false}),
        conv2({.in = o.width, .out = o.width, .kernel = 3, .padding = 1, .bias = false}),
        bn1({.channels = o.width}),
        bn2({.channels = o.width}),
        downsample(shortcut(o.in, o.width, o.stride)) {}

  Tensor forward(const Tensor& x) { return join(bn2, conv2(bn1.with_relu(conv1(x))), x); }
  Tensor join(nn::BatchNorm2d& norm, const Tensor& y, const Tensor& x) {
    return joined(norm, y, downsample, x, in_place);
  }
  std::vector<Stage> stages() { return block_stages(*this, {&conv1, &conv2}, {&bn1, &bn2}); }
  void visit(nn::Visitor& v) {
    v.child("conv1", conv1), v.child("bn1", bn1), v.child("conv2", conv2), v.child("bn2", bn2);
    if (downsample) v.child("downsample", *downsample);
  }
};

struct Bottleneck : nn::Module<Bottleneck> {
  static constexpr std::int64_t expansion = 4;
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm2d bn1, bn2, bn3;
  Shortcut downsample;

  explicit Bottleneck(const BlockOptions& o)
      : conv1({.in = o.in, .out = o.width, .kernel = 1, .bias = false}),
        conv2({.in = o.width, .out = o.width, .kernel = 3, .stride = o.stride, .padding = 1, .bias = false}),
        conv3({.in = o.width, .out = o.width * expansion, .kernel = 1, .bias = false}),
        bn1({.channels = o.width}),
        bn2({.channels = o.width}),
        bn3({.channels = o.width * expansion}),
        downsample(shortcut(o.in, o.width * expansion, o.stride)) {}

  Tensor forward(const Tensor& x) { return join(bn3, conv3(bn2.with_relu(conv2(bn1.with_relu(conv1(x))))), x); }
  Tensor join(nn::BatchNorm2d& norm, const Tensor& y, const Tensor& x) {
    return joined(norm, y, downsample, x, in_place);
  }
  std::vector<Stage> stages() { return block_stages(*this, {&conv1, &conv2, &conv3}, {&bn1, &bn2, &bn3}); }
  void visit(nn::Visitor& v) {
    v.child("conv1", conv1), v.child("bn1", bn1), v.child("conv2", conv2), v.child("bn2", bn2);
    v.child("conv3", conv3), v.child("bn3", bn3);
    if (downsample) v.child("downsample", *downsample);
  }
};

template <class Block>
nn::Sequential stage(std::int64_t& in, std::int64_t width, int depth, std::int64_t stride) {
  nn::Sequential blocks;
  for (int i = 0; i < depth; ++i) {
    blocks.add(Block({.in = in, .width = width, .stride = i == 0 ? stride : 1}));
    in = width * Block::expansion;
  }
  return blocks;
}

nn::Sequential stage(ResidualBlock block, std::int64_t& in, std::int64_t width, int depth, std::int64_t stride) {
  return block == ResidualBlock::basic ? stage<Basic>(in, width, depth, stride)
                                       : stage<Bottleneck>(in, width, depth, stride);
}

std::int64_t expansion(ResidualBlock block) {
  return block == ResidualBlock::basic ? Basic::expansion : Bottleneck::expansion;
}

}  // namespace

ResNet::ResNet(const ResNetOptions& options) : fc({.in = 512 * expansion(options.block), .out = options.classes}) {
  std::int64_t channels = 64;
  layer1 = stage(options.block, channels, 64, options.depths[0], 1);
  layer2 = stage(options.block, channels, 128, options.depths[1], 2);
  layer3 = stage(options.block, channels, 256, options.depths[2], 2);
  layer4 = stage(options.block, channels, 512, options.depths[3], 2);
}

Tensor ResNet::forward(const Tensor& x) {                                              // (N, 3, 224, 224)
  Tensor y = maxpool(bn1.with_relu(conv1(x)));                                         // (N, 64, 56, 56)
  for (nn::Sequential* layer : {&layer1, &layer2, &layer3, &layer4}) y = (*layer)(y);  // (N, 512 or 2048, 7, 7)
  return fc(mean(y, {2, 3}));                                                          // (N, classes)
}

std::vector<Stage> ResNet::stages() {
  std::vector<Stage> list{make_stage("conv", [this](const Tensor& x) { return conv1(x); }),
                          make_stage("norm", [this](const Tensor& x) { return in_place ? bn1.with_relu(x) : bn1(x); }),
                          make_stage("pool", [this](const Tensor& x) { return maxpool(in_place ? x : relu(x)); })};
  for (const nn::Sequential* layer : {&layer1, &layer2, &layer3, &layer4}) {
    for (std::size_t i = 0; i < layer->size(); ++i) {
      for (Stage& stage : layer->layer(i).stages()) list.push_back(std::move(stage));
    }
  }
  list.push_back(make_stage("head", [this](const Tensor& x) { return fc(mean(x, {2, 3})); }));
  return list;
}

void ResNet::visit(nn::Visitor& v) {
  v.child("conv1", conv1), v.child("bn1", bn1), v.child("relu", relu), v.child("maxpool", maxpool);
  v.child("layer1", layer1), v.child("layer2", layer2), v.child("layer3", layer3), v.child("layer4", layer4);
  v.child("fc", fc);
}

ResNet resnet18() { return ResNet({.block = ResidualBlock::basic, .depths = {2, 2, 2, 2}}); }
ResNet resnet50() { return ResNet({.block = ResidualBlock::bottleneck, .depths = {3, 4, 6, 3}}); }

}  // namespace mnemo::models
