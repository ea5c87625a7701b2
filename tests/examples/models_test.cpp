// Parameter counts, against the layers' sizes added up here, and one training step of every model.
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "models/registry.h"
#include "training/trainer.h"

using namespace mnemo;

namespace {

using Count = std::int64_t;

constexpr Count conv(Count in, Count out, Count taps, bool bias = true) { return in * out * taps + (bias ? out : 0); }
constexpr Count linear(Count in, Count out) { return in * out + out; }
constexpr Count norm(Count channels) { return 2 * channels; }
constexpr Count conv_norm(Count in, Count out, Count taps) { return conv(in, out, taps, false) + norm(out); }

constexpr Count vgg16() {
  return conv(3, 64, 9) + conv(64, 64, 9) + conv(64, 128, 9) + conv(128, 128, 9) + conv(128, 256, 9) +
         2 * conv(256, 256, 9) + conv(256, 512, 9) + 5 * conv(512, 512, 9) + linear(512 * 7 * 7, 4096) +
         linear(4096, 4096) + linear(4096, 1000);
}

constexpr Count basic_stage(Count in, Count width) {
  const Count shortcut = in == width ? 0 : conv_norm(in, width, 1);
  return conv_norm(in, width, 9) + 3 * conv_norm(width, width, 9) + shortcut;
}

constexpr Count resnet18() {
  return conv_norm(3, 64, 49) + basic_stage(64, 64) + basic_stage(64, 128) + basic_stage(128, 256) +
         basic_stage(256, 512) + linear(512, 1000);
}

constexpr Count bottleneck(Count in, Count width) {
  return conv_norm(in, width, 1) + conv_norm(width, width, 9) + conv_norm(width, 4 * width, 1);
}

constexpr Count bottleneck_stage(Count in, Count width, Count depth) {
  return bottleneck(in, width) + conv_norm(in, 4 * width, 1) + (depth - 1) * bottleneck(4 * width, width);
}

constexpr Count resnet50() {
  return conv_norm(3, 64, 49) + bottleneck_stage(64, 64, 3) + bottleneck_stage(256, 128, 4) +
         bottleneck_stage(512, 256, 6) + bottleneck_stage(1024, 512, 3) + linear(2048, 1000);
}

constexpr Count double_conv(Count in, Count out) { return conv_norm(in, out, 27) + conv_norm(out, out, 27); }

constexpr Count unet3d() {
  return double_conv(1, 16) + double_conv(16, 32) + double_conv(32, 64) + double_conv(64 + 32, 32) +
         double_conv(32 + 16, 16) + conv(16, 3, 1);
}

/// Four gates of input and state, each with a bias for either.
constexpr Count lstm(Count in, Count hidden) { return 4 * hidden * (in + hidden + 2); }

/// Two normalizations, four projections, two layers with four times the features between.
constexpr Count block(Count features) {
  return 4 * features + 4 * linear(features, features) + linear(features, 4 * features) +
         linear(4 * features, features);
}

static_assert(vgg16() == 138'357'544);
static_assert(resnet18() == 11'689'512);
static_assert(resnet50() == 25'557'032);

}  // namespace

TEST_CASE("every model has the parameters that its layers add up to") {
  const std::map<std::string, Count> expected{
      {"simple-conv", conv(3, 32, 9) + conv(32, 64, 9) + linear(64 * 5 * 5, 10)},
      {"small-network", 1'843'776},
      {"larger-conv-network", 7'374'720},
      {"conv1d", 24'640},
      {"conv1d-downsample", 24'640},
      {"conv1d-separable", 8'768},
      {"conv3d-pad2", 13'824 + 32},
      {"conv3d-k3", 13'824 + 32},
      {"conv3d-k7", 175'616 + 32},
      {"mlp", linear(784, 512) + linear(512, 512) + linear(512, 10)},
      {"vgg16", vgg16()},
      {"resnet18", resnet18()},
      {"resnet50", resnet50()},
      {"unet3d", unet3d()},
      {"lstm", lstm(64, 128) + lstm(128, 128) + linear(128, 10)},
      {"transformer", linear(64, 128) + 1024 * 128 + 4 * block(128) + 2 * 128 + linear(128, 10)},
  };
  CHECK(models::specs().size() == expected.size());
  for (const models::Spec& spec : models::specs()) {
    CAPTURE(spec.name);
    REQUIRE(expected.contains(spec.name));
    CHECK(models::parameter_count(spec) == expected.at(spec.name));
  }
}

TEST_CASE("counting parameters leaves the random numbers alone") {
  manual_seed(7);
  take_random(12);
  const RandomState before = random_state();
  models::parameter_count(*models::find_spec("mlp"));
  CHECK(random_state().seed == before.seed);
  CHECK(random_state().offset == before.offset);
}

TEST_CASE("every model trains a step at its own batch and size") {
  for (const models::Spec& spec : models::specs()) {
    CAPTURE(spec.name);
    const DeviceScope scope(Device::open("virtual:cpu", {}));
    training::Trainer trainer(spec, training::Rule::adam);
    const training::StepReport report = trainer.step(spec.batch, spec.size);
    // Parameters, gradients and two moments are left, each block a multiple of 512 bytes; buffers besides.
    CHECK(report.allocated >= 4 * 4 * trainer.model().parameter_count());
    CHECK(report.peak.allocated > report.allocated);
    for (const Tensor& parameter : trainer.model().parameters()) CHECK(parameter.grad().defined());
  }
}

TEST_CASE("training on the CPU lowers the loss of a regression") {
  const DeviceScope scope(Device::open("cpu", {}));
  manual_seed(1);
  training::Trainer trainer(*models::find_spec("conv3d-k3"), training::Rule::adam);
  const double first = trainer.step(2, 6).loss;
  double last = first;
  for (int step = 0; step < 30; ++step) last = trainer.step(2, 6).loss;
  CHECK(last < first);
}

TEST_CASE("without recording nothing is saved and nothing is left but the model") {
  const DeviceScope scope(Device::open("virtual:cpu", {}));
  training::Trainer trainer(*models::find_spec("resnet18"), training::Rule::nothing);
  const memory::Bytes before = trainer.device().allocator().allocated();
  const training::StepReport report = trainer.step(4, 64);
  CHECK(report.allocated == before);
  CHECK(report.peak.categories[static_cast<std::size_t>(memory::Category::saved_activation)] == 0);
  CHECK(report.peak.categories[static_cast<std::size_t>(memory::Category::gradient)] == 0);
}
