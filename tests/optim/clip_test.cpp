// Clipping by the norm of all gradients together, against float64 loops.
#include <doctest/doctest.h>

#include <limits>

#include <mnemo/core/families.h>
#include <mnemo/optim/clip.h>

#include "optimizers.h"

using namespace optimizers;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double norm_of(const std::vector<std::vector<double>>& gradients, double p) {
  double total = 0;
  for (const auto& gradient : gradients) {
    for (const double value : gradient)
      total = std::isinf(p) ? std::max(total, std::abs(value)) : total + std::pow(std::abs(value), p);
  }
  return std::isinf(p) ? total : std::pow(total, 1 / p);
}

}  // namespace

TEST_CASE("clip: the norm, and every element times min(1, max_norm / norm), in every dtype, norm and layout") {
  for (const DType dtype : numbers::kFloating) {
    for (const double p : {2.0, 1.0, 3.0, 0.5, kInfinity}) {
      for (const double max_norm : {0.0, 0.7, 1e9}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(p);
        CAPTURE(max_norm);
        numbers::Generator random(1);
        std::vector<Tensor> parameters;
        std::vector<std::vector<double>> before;
        for (const Shape& shape : {Shape{7, 3}, Shape{}, Shape{0, 2}, Shape{70'001}, Shape{5}}) {
          parameters.push_back(Tensor(random.array(shape, dtype), true));
          if (shape == Shape{5}) continue;  // without a gradient
          Array gradient = random.array(shape, dtype);
          if (shape == Shape{7, 3}) gradient = random.array({3, 7}, dtype).transpose(0, 1);
          parameters.back().set_grad(Tensor(gradient));
          before.push_back(gradient.values<double>());
        }
        const double norm = norm_of(before, p), factor = std::min(1.0, max_norm / (norm + 1e-6));
        CHECK(clip_grad_norm(parameters, max_norm, p).item() == doctest::Approx(norm).epsilon(1e-6));
        double worst = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
          const auto after = parameters[i].grad().values<double>();
          for (std::size_t j = 0; j < after.size(); ++j)
            worst = std::max(worst, std::abs(after[j] - factor * before[i][j]));
        }
        // One rounding of the factor (in float, then in the gradient's dtype) and one of the product.
        CHECK(worst <= factor * (3 * numbers::rounding(dtype) + 0x1p-22) + numbers::smallest_step(dtype));
        CHECK_FALSE(parameters.back().grad().defined());
      }
    }
  }
}

TEST_CASE("clip: nothing of a gradient's size is allocated, and the bytes on virtual:cpu are those on cpu") {
  std::vector<memory::Bytes> seen[2];
  for (const char* where : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(where);
    std::vector<Tensor> parameters;
    for (int i = 0; i < 3; ++i) {
      parameters.push_back(ones({1000, 100}, {.device = device, .requires_grad = true}));
      parameters.back().set_grad(ones({1000, 100}, {.device = device}));
    }
    const memory::Bytes before = device.allocator().allocated();
    device.allocator().reset_peak();
    const auto subscription = device.allocator().subscribe(
        [&](const memory::Event& event) { seen[device.is_virtual() ? 1 : 0].push_back(event.allocated); });
    clip_grad_norm(parameters, 1);
    CHECK(device.allocator().allocated() == before);
    CHECK(device.allocator().peak().allocated <= before + 8 * 512);
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("clip: the same bits on any number of threads") {
  Array first;
  for (int threads = 1; threads <= 3; ++threads) {
    const numbers::Threads scope(threads);
    numbers::Generator random(3);
    Tensor parameter(random.array({200'003}, DType::float32), true);
    parameter.set_grad(Tensor(random.array({200'003}, DType::float32)));
    clip_grad_norm(std::vector{parameter}, 0.5);
    if (threads == 1) first = parameter.grad().array();
    CHECK(numbers::same_bits(parameter.grad().array(), first));
  }
}

TEST_CASE("clip: a norm that is not finite shows, and senseless limits are refused") {
  Tensor a = parameter_of({1, 2}, {2}, DType::float32);
  const std::vector<Tensor> parameters{a};
  CHECK(clip_grad_norm(parameters, 1).item() == 0);
  a.set_grad(parameter_of({std::numeric_limits<double>::quiet_NaN(), 1}, {2}, DType::float32).detach());
  CHECK(std::isnan(clip_grad_norm(parameters, 1).item()));
  CHECK(std::isnan(a.grad().values<double>()[1]));
  CHECK(std::isnan(grad_norm(parameters, kInfinity).item()));
  CHECK_THROWS_AS(clip_grad_norm(parameters, -1), ConfigError);
  CHECK_THROWS_AS(clip_grad_norm(parameters, 1, 0), ConfigError);
  CHECK_THROWS_AS(grad_norm(parameters, -2), ConfigError);
  const Device elsewhere = Device::open("cpu");
  Tensor far = ones({2}, {.device = elsewhere, .requires_grad = true});
  far.set_grad(ones({2}, {.device = elsewhere}));
  CHECK_THROWS_AS(clip_grad_norm(std::vector{a, far}, 1), DeviceError);
}
