#include "models/registry.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "models/classifiers.h"
#include "models/convolutions.h"
#include "models/resnet.h"
#include "models/sequences.h"
#include "models/unet3d.h"
#include "models/vgg.h"

namespace mnemo::models {

namespace {

using Made = std::unique_ptr<Model>;

Made single_conv3d(std::int64_t kernel, std::int64_t padding) {
  return as_model(SingleConv<3>({.in = 16, .out = 32, .kernel = kernel, .padding = padding}));
}

const std::array table{
    Spec{.name = "simple-conv",
         .description = "two convolutions with pooling, one linear layer",
         .batch = 64,
         .size = 28,
         .sizes = {.smallest = 26, .largest = 29},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 10,
         .dense = false,
         .make = []() -> Made { return as_model(SimpleConv()); }},
    Spec{.name = "small-network",
         .description = "one convolution of 16 channels, flattened into a linear layer",
         .batch = 1,
         .size = 32,
         .sizes = {.smallest = 32, .largest = 32},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 128,
         .dense = false,
         .make = []() -> Made { return as_model(FlatNetwork(16)); }},
    Spec{.name = "larger-conv-network",
         .description = "the same with 64 channels",
         .batch = 1,
         .size = 32,
         .sizes = {.smallest = 32, .largest = 32},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 128,
         .dense = false,
         .make = []() -> Made { return as_model(FlatNetwork(64)); }},
    Spec{.name = "conv1d",
         .description = "Conv1d, 128 to 64 channels, kernel 3",
         .batch = 1,
         .size = 512,
         .sizes = {.smallest = 3},
         .channels = 128,
         .spatial_rank = 1,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return as_model(SingleConv<1>({.in = 128, .out = 64, .kernel = 3})); }},
    Spec{.name = "conv1d-downsample",
         .description = "average pooling by 2, then the same Conv1d",
         .batch = 1,
         .size = 1024,
         .sizes = {.smallest = 6},
         .channels = 128,
         .spatial_rank = 1,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return as_model(DownsampledConv1d()); }},
    Spec{.name = "conv1d-separable",
         .description = "a depthwise and a pointwise Conv1d in its place",
         .batch = 1,
         .size = 512,
         .sizes = {.smallest = 3},
         .channels = 128,
         .spatial_rank = 1,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return as_model(SeparableConv1d()); }},
    Spec{.name = "conv3d-pad2",
         .description = "Conv3d, 16 to 32 channels, kernel 3, padding 2",
         .batch = 1,
         .size = 16,
         .sizes = {.smallest = 1},
         .channels = 16,
         .spatial_rank = 3,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return single_conv3d(3, 2); }},
    Spec{.name = "conv3d-k3",
         .description = "Conv3d, 16 to 32 channels, kernel 3",
         .batch = 1,
         .size = 16,
         .sizes = {.smallest = 3},
         .channels = 16,
         .spatial_rank = 3,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return single_conv3d(3, 0); }},
    Spec{.name = "conv3d-k7",
         .description = "Conv3d, 16 to 32 channels, kernel 7",
         .batch = 1,
         .size = 16,
         .sizes = {.smallest = 7},
         .channels = 16,
         .spatial_rank = 3,
         .classes = 0,
         .dense = false,
         .make = []() -> Made { return single_conv3d(7, 0); }},
    Spec{.name = "mlp",
         .description = "three linear layers, 784 to 512 to 512 to 10",
         .batch = 64,
         .size = 28,
         .sizes = {.smallest = 28, .largest = 28},
         .channels = 1,
         .spatial_rank = 2,
         .classes = 10,
         .dense = false,
         .make = []() -> Made { return as_model(Perceptron()); }},
    Spec{.name = "vgg16",
         .description = "VGG-16 for 1000 classes, with dropout, without normalization",
         .batch = 8,
         .size = 224,
         .sizes = {.smallest = 224, .largest = 255},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 1000,
         .dense = false,
         .make = []() -> Made { return as_model(Vgg16()); }},
    Spec{.name = "resnet18",
         .description = "ResNet-18 for 1000 classes",
         .batch = 8,
         .size = 224,
         .sizes = {.smallest = 1},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 1000,
         .dense = false,
         .make = []() -> Made { return as_model(resnet18()); }},
    Spec{.name = "resnet50",
         .description = "ResNet-50 for 1000 classes",
         .batch = 8,
         .size = 224,
         .sizes = {.smallest = 1},
         .channels = 3,
         .spatial_rank = 2,
         .classes = 1000,
         .dense = false,
         .make = []() -> Made { return as_model(resnet50()); }},
    Spec{.name = "unet3d",
         .description = "3-D U-Net of three levels, three classes per voxel",
         .batch = 2,
         .size = 32,
         .sizes = {.smallest = 4, .multiple = 4},
         .channels = 1,
         .spatial_rank = 3,
         .classes = 3,
         .dense = true,
         .make = []() -> Made { return as_model(UNet3d()); }},
    Spec{.name = "lstm",
         .description = "two LSTM layers over a sequence, a linear layer behind the last place",
         .batch = 16,
         .size = 64,
         .sizes = {.smallest = 1},
         .channels = 64,
         .spatial_rank = 1,
         .classes = 10,
         .dense = false,
         .make = []() -> Made { return as_model(RecurrentClassifier()); }},
    Spec{.name = "transformer",
         .description = "four blocks of attention over a sequence, 128 features in 4 heads",
         .batch = 16,
         .size = 128,
         .sizes = {.smallest = 1, .largest = 1024},
         .channels = 64,
         .spatial_rank = 1,
         .classes = 10,
         .dense = false,
         .make = []() -> Made { return as_model(Transformer()); }},
};

/// The sizes of `spec` behind `lead`.
Shape with_space(Dims lead, const Spec& spec, std::int64_t edge) {
  for (int axis = 0; axis < spec.spatial_rank; ++axis)
    lead.push_back(edge > 0 ? edge : spec.extents.at(static_cast<std::size_t>(axis)));
  return Shape(lead);
}

}  // namespace

bool Sizes::contains(std::int64_t size) const {
  return size >= smallest && (largest == 0 || size <= largest) && size % multiple == 0;
}

std::string Sizes::text() const {
  if (multiple > 1) return fmt::format("multiples of {}", multiple);
  if (largest == 0) return smallest == 1 ? "any" : fmt::format("{} or more", smallest);
  return largest == smallest ? fmt::format("{}", smallest) : fmt::format("{} to {}", smallest, largest);
}

Shape Spec::input_shape(std::int64_t batch_size, std::int64_t edge) const {
  return with_space({batch_size, channels}, *this, edge);
}

Shape Spec::target_shape(std::int64_t batch_size, std::int64_t edge) const {
  return dense ? with_space({batch_size}, *this, edge) : Shape{batch_size};
}

std::span<const Spec> specs() { return table; }

const Spec* find_spec(std::string_view name) {
  for (const Spec& spec : table) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

Batch random_batch(const Spec& spec, std::int64_t batch_size, std::int64_t edge, DType dtype) {
  const memory::PhaseScope phase(memory::Phase::data);
  const memory::CategoryScope category(memory::Category::input);
  Batch batch{.input = randn(spec.input_shape(batch_size, edge), {.dtype = dtype}), .targets = {}};
  if (spec.classes > 0) batch.targets = randint(0, spec.classes, spec.target_shape(batch_size, edge));
  return batch;
}

Tensor loss(const Spec& spec, const Tensor& output, const Tensor& targets) {
  return spec.classes > 0 ? cross_entropy(output, targets) : mean(pow(output, 2));
}

std::int64_t parameter_count(const Spec& spec) {
  const RandomState before = random_state();
  const DeviceScope scope(Device::open("virtual:cpu", {}));
  const std::int64_t count = spec.make()->parameter_count();
  set_random_state(before);
  return count;
}

std::vector<std::string> module_paths(const Spec& spec) {
  const RandomState before = random_state();
  const DeviceScope scope(Device::open("virtual:cpu", {}));
  std::vector<std::string> paths{""};
  for (const nn::NamedTensor& parameter : spec.make()->named_parameters()) {
    for (std::size_t dot = parameter.name.find('.'); dot != std::string::npos;
         dot = parameter.name.find('.', dot + 1)) {
      std::string path = parameter.name.substr(0, dot);
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(std::move(path));
    }
  }
  set_random_state(before);
  return paths;
}

}  // namespace mnemo::models
