// Random programs, each run on several devices or in several ways: what must be the same is.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <mnemo/autograd/offload.h>
#include <mnemo/autograd/step_graph.h>
#include <mnemo/core/device_memory.h>
#include <mnemo/core/random.h>
#include <mnemo/optim/optimizer.h>

#include "cuda_device.h"
#include "random_program.h"

using namespace mnemo;
using programs::Options;
using programs::Program;

namespace {

struct Course {
  std::vector<std::string> bytes;            ///< allocated and reserved, after every operation of every step
  std::vector<std::vector<double>> numbers;  ///< losses and gradients
};

/// Two steps of training.
Course train(const Options& options, const Device& device, bool offload = false) {
  const DeviceScope scope(device);
  memory::empty_cache(device);
  manual_seed(options.seed);
  Program program(options, device);
  Course course;
  program.after = [&](const std::string& name) {
    course.bytes.push_back(name + " " + std::to_string(memory::allocated(device)) + " " +
                           std::to_string(memory::reserved(device)));
  };
  for (int step = 0; step < 2; ++step) {
    Tensor loss;
    {
      std::optional<OffloadScope> away;
      if (offload) away.emplace(OffloadOptions{.threshold = 1});
      loss = program.forward(program.input());
    }
    course.numbers.push_back(loss.values<double>());
    loss.backward();
    program.after("backward");
    for (Tensor& parameter : program.parameters()) {
      if (!parameter.grad().defined()) continue;
      course.numbers.push_back(to(parameter.grad(), DType::float64).values<double>());
      parameter.zero_grad();
    }
    program.after("zero_grad");
  }
  return course;
}

constexpr DType kFloating[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

/// Whether these are the same numbers; one that is not a number is another such one.
bool same(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b) {
  const auto equal = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), equal);
  });
}

/// Whether numbers agree up to `tolerance` of each number, or of a hundredth of the largest.
bool close(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b, double tolerance) {
  if (a.size() != b.size()) return false;
  double largest = 0;
  for (const auto& list : b) {
    for (const double value : list) largest = std::max(largest, std::abs(value));
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size()) return false;
    double apart = 0, norm = 0;  // of one gradient as a whole
    for (std::size_t k = 0; k < a[i].size(); ++k)
      apart += (a[i][k] - b[i][k]) * (a[i][k] - b[i][k]), norm += b[i][k] * b[i][k];
    if (!(std::sqrt(apart) <= tolerance * (std::sqrt(norm) + 0.01 * largest))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("random programs: the virtual device has the bytes of the CPU after every operation") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (const DType dtype : kFloating) {
      CAPTURE(seed);
      CAPTURE(std::string(name(dtype)));
      Options options{.seed = seed, .dtype = dtype};
      options.grouped = seed % 2 == 0 ? 0 : 25;
      options.checkpointed = seed % 4 == 3;
      options.recomputed = seed % 8 >= 5;
      options.autocast = dtype == DType::float32 && seed % 3 == 0;
      CHECK(train(options, "cpu").bytes == train(options, "virtual:cpu").bytes);
    }
  }
}

TEST_CASE("random programs: checkpointed, recomputed, offloaded or all of it, losses and gradients are the same bits") {
  for (std::uint64_t seed = 200; seed < 350; ++seed) {
    for (const bool autocast : {false, true}) {
      CAPTURE(seed);
      CAPTURE(autocast);
      Options options{.seed = seed};
      options.autocast = autocast;
      options.grouped = 25;
      const auto plain = train(options, "cpu").numbers;
      CHECK(same(train(options, "cpu", true).numbers, plain));
      for (const bool recomputed : {false, true}) {
        for (const bool checkpointed : {false, true}) {
          if (!recomputed && !checkpointed) continue;
          options.recomputed = recomputed, options.checkpointed = checkpointed;
          CHECK(same(train(options, "cpu").numbers, plain));
          CHECK(same(train(options, "cpu", true).numbers, plain));
        }
      }
    }
  }
}

TEST_CASE("random programs: gradients are the slopes of the loss") {
  const Device device("cpu");
  const DeviceScope scope(device);
  for (std::uint64_t seed = 400; seed < 600; ++seed) {
    CAPTURE(seed);
    Options options{.seed = seed, .dtype = DType::float64};
    options.smooth = true;
    Program program(options, device);
    const Tensor input = program.input();
    manual_seed(seed);
    program.forward(input).backward();

    // Along one direction of all parameters together.
    std::vector<Tensor> centres, directions;
    double expected = 0;
    for (const Tensor& parameter : program.parameters()) {
      centres.push_back(tensor(parameter.values<double>(), parameter.shape()));
      directions.push_back(randn(parameter.shape(), {.dtype = DType::float64}));
      if (parameter.grad().defined()) expected += sum(parameter.grad() * directions.back()).item();
    }
    const auto loss_at = [&](double distance) {
      for (std::size_t i = 0; i < centres.size(); ++i) {
        const NoGradScope none;
        copy_(program.parameters()[i], centres[i] + directions[i] * distance);
      }
      manual_seed(seed);  // dropout drops the same
      return program.forward(input).item();
    };
    // Central differences of fourth order: the error is that of the fifth derivative and of rounding.
    const double h = 1e-5;
    const double slope = (8 * (loss_at(h) - loss_at(-h)) - (loss_at(2 * h) - loss_at(-2 * h))) / (12 * h);
    CHECK(slope == doctest::Approx(expected).epsilon(1e-5).scale(1));
  }
}

TEST_CASE("cuda: random programs have the bytes of the virtual card, as the device chooses, and the CPU's values") {
  const std::string twin = virtual_twin();
  if (twin.empty()) return;
  const bool decides_alike = cuda_device()->backend().decisions().cudnn() == Device(twin).backend().decisions().cudnn();
  for (std::uint64_t seed = 600; seed < 612; ++seed) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      CAPTURE(seed);
      CAPTURE(std::string(name(dtype)));
      Options options{.seed = seed, .dtype = dtype};
      options.grouped = 20;
      options.checkpointed = seed % 2 == 1;
      const Course real = train(options, *cuda_device());
      if (decides_alike) CHECK(real.bytes == train(options, twin.c_str()).bytes);
      options.checkpointed = false;
      CHECK(same(train(options, *cuda_device()).numbers, real.numbers));
      if (dtype == DType::float32) CHECK(close(real.numbers, train(options, "cpu").numbers, 2e-3));
    }
  }
}

TEST_CASE("cuda: random programs are the same bits when they are recorded and repeated") {
  if (!cuda_device()) return;
  for (std::uint64_t seed = 700; seed < 708; ++seed) {
    CAPTURE(seed);
    Options options{.seed = seed};
    options.autocast = seed % 2 == 1;
    options.grouped = 20;
    options.checkpointed = seed % 4 >= 2;
    const auto run = [&](bool recorded) {
      const Device device = *cuda_device();
      const DeviceScope scope(device);
      Program program(options, device);
      const Tensor input = program.input();
      program.forward(input);  // makes the parameters
      manual_seed(seed);
      optim::Adam optimizer(program.parameters(), {.lr = 1e-3});
      StepGraph graph(device);
      const auto step = [&](std::span<const Tensor> in) {
        optimizer.zero_grad();
        Tensor loss = program.forward(in[0]);
        loss.backward();
        optimizer.step();
        return loss;
      };
      std::vector<std::vector<double>> numbers;
      for (int i = 0; i < 4; ++i) {
        const std::vector<Tensor> x{input * (1 + 0.01 * i)};
        numbers.push_back((recorded ? graph.run(x, step) : step(x)).values<double>());
      }
      for (const Tensor& parameter : program.parameters()) numbers.push_back(parameter.values<double>());
      return numbers;
    };
    CHECK(same(run(true), run(false)));
  }
}
