// Stories of a GPU: a small net that learns as on the CPU, in every precision, plain, checkpointed and recorded, with
// the bytes of the virtual card.
#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <vector>

#include <mnemo/mnemo.h>

#include "cuda_device.h"

using namespace mnemo;
using namespace mnemo::nn;

namespace {

struct Story {
  std::optional<DType> amp = {};
  bool checkpointed = false;
  bool recorded = false;
  bool eight_bits = false;
};

struct Course {
  std::vector<double> losses;
  std::vector<memory::Bytes> bytes;  ///< allocated and reserved, now and at the peak, after every step
};

Sequential make_net() {
  return Sequential(Conv2d({.in = 3, .out = 8, .kernel = 3, .padding = 1}), BatchNorm2d({.channels = 8}), ReLU(),
                    MaxPool2d({.kernel = 2}), Conv2d({.in = 8, .out = 8, .kernel = 3}), BatchNorm2d({.channels = 8}),
                    GELU(), Flatten(), Dropout(0.25), Linear({.in = 8 * 2 * 2, .out = 5}));
}

std::unique_ptr<optim::Optimizer> make_optimizer(const Story& story, std::vector<Tensor> parameters) {
  if (story.eight_bits) return std::make_unique<optim::Adam8bit>(std::move(parameters), optim::AdamOptions{.lr = 5e-3});
  return std::make_unique<optim::Adam>(std::move(parameters), optim::AdamOptions{.lr = 5e-3});
}

Course train(const Device& device, const Story& story) {
  const DeviceScope scope(device);
  manual_seed(7);
  Sequential net = make_net();
  const auto optimizer = make_optimizer(story, net.parameters());
  std::optional<optim::GradScaler> scaler;
  if (story.amp == DType::float16) scaler.emplace(optim::GradScalerOptions{.init_scale = 1024});
  const Tensor images = randn({10, 3, 8, 8});
  std::vector<std::int64_t> classes(10);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int64_t>(i % 5);
  const Tensor targets = tensor<std::int64_t>(classes, {10}, device);
  StepGraph graph(device);
  const auto step = [&](std::span<const Tensor> in) {
    optimizer->zero_grad();
    Tensor loss;
    {
      const AutocastScope half(
          AutocastState{.enabled = story.amp.has_value(), .dtype = story.amp.value_or(DType::bfloat16)});
      const Tensor output =
          story.checkpointed ? checkpoint([&](const Tensor& x) { return net(x); }, in[0]) : net(in[0]);
      loss = cross_entropy(output, in[1]);
    }
    (scaler ? scaler->scale(loss) : loss).backward();
    if (scaler) {
      scaler->step(*optimizer);
      scaler->update();
    } else {
      optimizer->step();
    }
    return loss.detach();
  };
  Course course;
  const std::vector<Tensor> inputs{images, targets};
  for (int i = 0; i < 5; ++i) {
    const Tensor loss = story.recorded ? graph.run(inputs, step) : step(inputs);
    course.losses.push_back(device.is_virtual() ? 0 : loss.item());
    const memory::Statistics statistics = device.allocator().statistics();
    for (const auto& stat : {statistics.allocated_bytes.all, statistics.reserved_bytes.all})
      course.bytes.insert(course.bytes.end(), {stat.current, stat.peak});
  }
  return course;
}

void check(const Story& story, double tolerance) {
  const Course cpu = train(Device::open("cpu"), story), cuda = train(new_cuda_device(), story);
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) {
    CAPTURE(i);
    CHECK(cuda.losses[i] == doctest::Approx(cpu.losses[i]).epsilon(tolerance));
  }
  CHECK(cuda.losses.back() < cuda.losses.front());
  CHECK(train(new_cuda_device(), story).losses == cuda.losses);
  if (virtual_twin().empty()) return;
  const Device twin = Device::open(virtual_twin());
  // Another cuDNN may decide otherwise.
  if (twin.backend().decisions().cudnn() != cuda_device()->backend().decisions().cudnn()) return;
  CHECK(train(twin, story).bytes == cuda.bytes);
}

}  // namespace

TEST_CASE("cuda: story: a small net learns as on the CPU, with the bytes of its virtual card") {
  if (!cuda_device()) return;
  check({}, 1e-4);
}

TEST_CASE("cuda: story: bfloat16 and float16 with a scaled loss") {
  if (!cuda_device()) return;
  for (const DType half : {DType::bfloat16, DType::float16}) {
    CAPTURE(std::string(name(half)));
    check({.amp = half}, half == DType::bfloat16 ? 3e-2 : 5e-3);
  }
}

TEST_CASE("cuda: story: checkpointed, recorded, both, and with an optimizer of 8 bits") {
  if (!cuda_device()) return;
  check({.checkpointed = true}, 1e-4);
  check({.recorded = true}, 1e-4);
  check({.checkpointed = true, .recorded = true}, 1e-4);
  check({.amp = DType::float16, .recorded = true}, 5e-3);
  check({.eight_bits = true}, 1e-3);
}
