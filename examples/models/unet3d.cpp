#include "models/unet3d.h"

namespace mnemo::models {

DoubleConv3d::DoubleConv3d(std::int64_t in, std::int64_t out)
    : conv1({.in = in, .out = out, .kernel = 3, .padding = 1, .bias = false}),
      conv2({.in = out, .out = out, .kernel = 3, .padding = 1, .bias = false}),
      bn1({.channels = out}),
      bn2({.channels = out}) {}

namespace {

/// A function of its own: what is upsampled is gone when it ends, before the decoder begins.
Tensor join(const Tensor& below, const Tensor& skip) { return concat({upsample_nearest(below, 2), skip}, 1); }

}  // namespace

Tensor UNet3d::forward(const Tensor& x) {                           // (N, 1, S, S, S)
  const Tensor fine = encoder1(x);                                  // (N, 16, S, S, S)
  const Tensor middle = encoder2(max_pool3d(fine, {.kernel = 2}));  // (N, 32, S/2, S/2, S/2)
  Tensor y = bottom(max_pool3d(middle, {.kernel = 2}));             // (N, 64, S/4, S/4, S/4)
  y = decoder2(join(y, middle));                                    // (N, 32, S/2, S/2, S/2)
  y = decoder1(join(y, fine));                                      // (N, 16, S, S, S)
  return head(y);                                                   // (N, 3, S, S, S)
}

std::vector<Stage> UNet3d::stages() {
  std::vector<Stage> list;
  const auto unit = [&list](const char* where, nn::Conv3d& conv, nn::BatchNorm3d& norm) {
    list.push_back(make_stage("conv", [&conv](const Tensor& x) { return conv(x); }));
    list.push_back(make_stage("norm", [&norm, where](const Tensor& x) {
      const memory::ModuleScope module(where);
      return norm.with_relu(x);
    }));
  };
  const auto add = [&unit](DoubleConv3d& block) {
    unit(block.path, block.conv1, block.bn1);
    unit(block.path, block.conv2, block.bn2);
  };
  // Goes on with the half and leaves the whole below, for the decoder.
  const auto pool = [&list] {
    Stage& last = list.back();
    last.gives = 2;
    last.run = [run = last.run](std::span<const Tensor> x) -> std::vector<Tensor> {
      const Tensor y = run(x)[0];
      return {y, max_pool3d(y, {.kernel = 2})};
    };
  };
  const auto add_join = [&list] {
    list.push_back({.name = "join",
                    .run = [](std::span<const Tensor> x) -> std::vector<Tensor> { return {join(x[1], x[0])}; },
                    .takes = 2});
  };
  add(encoder1), pool();
  add(encoder2), pool();
  add(bottom);
  add_join(), add(decoder2);
  add_join(), add(decoder1);
  list.push_back(make_stage("head", [this](const Tensor& x) { return head(x); }));
  return list;
}

void UNet3d::visit(nn::Visitor& v) {
  v.child("encoder1", encoder1), v.child("encoder2", encoder2), v.child("bottom", bottom);
  v.child("decoder2", decoder2), v.child("decoder1", decoder1), v.child("head", head);
}

}  // namespace mnemo::models
