#include "models/usual_workloads.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "models/conv_passes.h"
#include "models/layer.h"

namespace mnemo::models {

namespace {

using Counts = std::vector<std::int64_t>;

/// One model or layer with the sizes and batches to be known.
struct Usual {
  const char* model;
  Counts batches;
  Counts sizes;
};

Counts range(std::int64_t first, std::int64_t last, std::int64_t step) {
  Counts counts;
  for (std::int64_t count = first; count <= last; count += step) counts.push_back(count);
  return counts;
}

std::vector<Usual> usual_workloads() {
  const Counts powers{1, 2, 4, 8, 16, 32, 64, 128}, few{1, 2, 4, 8, 16};
  const Counts images{128, 160, 192, 224, 256, 320, 384};
  return {
      {"simple-conv", {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256}, {26, 27, 28, 29}},
      {"small-network", powers, {32}},
      {"larger-conv-network", powers, {32}},
      {"conv1d", powers, {256, 512, 1024, 2048}},
      {"conv1d-downsample", powers, {512, 1024, 2048}},
      {"conv1d-separable", powers, {256, 512, 1024, 2048}},
      {"conv3d-pad2", few, range(8, 64, 8)},
      {"conv3d-k3", few, range(8, 64, 8)},
      {"conv3d-k7", few, range(8, 64, 8)},
      {"vgg16", powers, {224}},
      {"resnet18", powers, images},
      {"resnet50", powers, images},
      {"unet3d", {1, 2, 4, 8}, range(16, 128, 16)},
      // Where a lower resolution needs more: docs/cliffs.md and the resolution lab.
      {"conv2d:256,256,k7,p3@1x256x48x48", {1}, range(32, 128, 8)},
      {"conv2d:256,256,k3,p1@1x256x48x48", {1, 16}, range(32, 256, 8)},
      {"conv3d:16,32,k3,p1@4x16x32x32x32", {1, 4}, range(16, 64, 4)},
      {"conv3d:16,32,k7,p3@16x16x32x32x32", {1, 16}, range(16, 64, 8)},
      {"conv3d:32,64,k7,p3@4x32x32x32x32", {4}, range(16, 64, 8)},
      {"conv3d:128,128,k7,p3@16x128x16x16x16", {16}, {12, 16, 20, 24}},
      {"conv3d:32,32,k3,p1@4x32x16x16x16", {4}, {16, 32}},
      {"conv3d:1,16,k7,p3@16x1x48x48x48", {16}, {48, 56}},
      {"conv2d:32,64,k3,p1@16x32x128x128", {16}, range(96, 160, 8)},
      // The layers whose workspaces the tests know by heart.
      {"conv2d:3,32,k3@64x3x28x28", {8, 64}, {28}},
      {"conv2d:32,64,k3@64x32x13x13", {8, 64}, {13}},
      {"conv3d:16,32,k3,p2@1x16x16x16x16", {1}, {16, 32}},
      {"conv3d:16,32,k7@1x16x16x16x16", {1}, {16}},
      {"conv1d:128,64,k3@16x128x1024", {16}, {1024}},
      {"conv2d:128,256,k3,p1@16x128x64x64", {16}, {64}},
      // What users reported.
      {"conv3d:64,32,k3,p1@1x64x361x370x251", {1}, {0}},
      {"conv3d:256,64,k3@1x256x4x1090x1922", {1}, {0}},
  };
}

/// All queries, once each, in the order in which they came.
class QueryList {
 public:
  void add(const ConvQuery& query) {
    if (seen_.insert(query).second) queries_.push_back(query);
  }
  std::vector<ConvQuery> take() { return std::move(queries_); }

 private:
  struct Hash {
    std::size_t operator()(const ConvQuery& query) const { return hash(query); }
  };
  std::unordered_set<ConvQuery, Hash> seen_;
  std::vector<ConvQuery> queries_;
};

}  // namespace

std::vector<ConvQuery> usual_conv_queries() {
  QueryList list;
  for (const Usual& usual : usual_workloads()) {
    const bool lone = is_layer(usual.model);
    const Spec spec = lone ? layer_spec(usual.model) : *find_spec(usual.model);
    for (const std::int64_t batch : usual.batches) {
      for (const std::int64_t size : usual.sizes) {
        for (ConvPassOf& pass : conv_passes(spec, DType::float32, batch, size)) {
          for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
            pass.problem.dtype = dtype;
            const bool half = dtype != DType::float32;
            list.add({pass.problem, pass.pass, half ? ConvLayout::channels_last : ConvLayout::contiguous});
            if (lone) list.add({pass.problem, pass.pass, half ? ConvLayout::contiguous : ConvLayout::channels_last});
          }
        }
      }
    }
  }
  return list.take();
}

}  // namespace mnemo::models
