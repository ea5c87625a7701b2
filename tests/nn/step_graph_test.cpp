// StepGraph: a recorded step is the plain one, run by run. On the CPU it is never recorded; on a GPU (or its emulation)
// it is; a virtual GPU has the same bytes.
#include <doctest/doctest.h>

#include <vector>

#include <mnemo/mnemo.h>

#include "cuda_device.h"

using namespace mnemo;

namespace {

struct Net {
  nn::Linear first{{.in = 6, .out = 16}};
  nn::Linear second{{.in = 16, .out = 4}};
  Tensor forward(const Tensor& x) { return second.forward(dropout(relu(first.forward(x)), 0.3)); }
  std::vector<Tensor> parameters() const { return {first.weight, first.bias, second.weight, second.bias}; }
};

struct Batch {
  Tensor x, y;
};

Batch batch(std::int64_t size, int number, const Device& device) {
  std::vector<float> values;
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < 6 * size; ++i) values.push_back(std::sin(static_cast<float>(i + 7 * number)));
  for (std::int64_t i = 0; i < size; ++i) classes.push_back((i + number) % 4);
  return {Tensor(Array::from(values, {size, 6}, device)), Tensor(Array::from(classes, {size}, device))};
}

enum class Rule { sgd, adam };

std::unique_ptr<optim::Optimizer> optimizer_of(Rule rule, const Net& net) {
  if (rule == Rule::sgd)
    return std::make_unique<optim::SGD>(net.parameters(), optim::SGDOptions{.lr = 0.1, .momentum = 0.9});
  return std::make_unique<optim::Adam>(net.parameters(), optim::AdamOptions{.lr = 0.01});
}

struct Course {
  std::vector<double> losses;
  std::vector<double> weights;
  std::int64_t steps = 0;
  std::size_t recorded = 0;
};

/// Ten steps with two batch sizes in turn and a learning rate by schedule, plain or by a StepGraph.
Course train(const Device& device, Rule rule, bool graph) {
  const DeviceScope scope(device);
  manual_seed(3);
  Net net;
  const auto optimizer = optimizer_of(rule, net);
  StepGraph steps(device);
  Course course;
  const optim::Schedule rate = optim::warmup(2, optim::cosine(optimizer->lr(), 0, 9));
  for (int i = 0; i < 10; ++i) {
    optimizer->set_lr(rate(i));
    const Batch data = batch(i % 2 == 0 ? 8 : 5, i, device);
    const auto step = [&](std::span<const Tensor> in) {
      optimizer->zero_grad();
      Tensor loss = cross_entropy(net.forward(in[0]), in[1]);
      loss.backward();
      optimizer->step();
      return loss.detach();
    };
    const std::vector<Tensor> inputs{data.x, data.y};
    course.losses.push_back((graph ? steps.run(inputs, step) : step(inputs)).item());
  }
  course.weights = net.second.weight.array().values<double>();
  course.steps = optimizer->steps(0);
  course.recorded = steps.recorded();
  return course;
}

}  // namespace

TEST_CASE("StepGraph: on the CPU every run is a plain one") {
  const Course plain = train(Device::open("cpu"), Rule::adam, false),
               graph = train(Device::open("cpu"), Rule::adam, true);
  CHECK(plain.losses == graph.losses);
  CHECK(plain.weights == graph.weights);
  CHECK(graph.recorded == 0);
}

TEST_CASE("StepGraph: a virtual GPU keeps the memory of what it would record, and gives it back with the graph") {
  const Device device = Device::open("virtual:h200");
  const DeviceScope scope(device);
  const memory::Bytes before = memory::reserved(device);
  {
    StepGraph graph(device);
    for (int i = 0; i < 4; ++i) {
      const Tensor x(Array({64, 64}, DType::float32, device));
      graph.run({x}, [](std::span<const Tensor> in) { return matmul(in[0], in[0]); });
    }
    CHECK(graph.recorded() == 1);
    CHECK(device.allocator().kept() > 0);
    const memory::Bytes kept = device.allocator().kept();
    memory::empty_cache(device);
    CHECK(device.allocator().kept() == kept);
    CHECK(memory::summary(device).find("Kept for recorded steps") != std::string::npos);
  }
  CHECK(device.allocator().kept() == 0);
  memory::empty_cache(device);
  CHECK(memory::reserved(device) == before);
}

TEST_CASE("StepGraph: one after another, graphs have the same stream") {
  const Device device = Device::open("virtual:h200");
  for (int i = 0; i < 3; ++i) StepGraph{device};
  CHECK(Stream::create(device).id() == 2);
  {
    const StepGraph first(device), second(device);  // one of them has a new stream
  }
  CHECK(Stream::create(device).id() == 4);
  for (const char* host : {"cpu", "virtual:cpu"}) {
    StepGraph{Device(host)};
    CHECK(Stream::create(host).id() == 0);
  }
}

TEST_CASE("cuda: more graphs than a device has streams") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const Tensor x(Array::from<float>({1, 2, 3}, {3}, device));
  for (int i = 0; i < 300; ++i) {
    StepGraph graph(device);
    Tensor y;
    for (int run = 0; run < 3; ++run) y = graph.run({x}, [i](std::span<const Tensor> in) { return in[0] * (1.0 + i); });
    REQUIRE(y.values<float>()[2] == static_cast<float>(3 * (1 + i)));
  }
}

// It was recorded, and the first rate came back with every repetition.
TEST_CASE("StepGraph: set_lr inside a step that is recorded is an error that says where it belongs") {
  const Device device = Device::open("virtual:h200");
  const DeviceScope scope(device);
  Tensor weight = zeros({1}, {.requires_grad = true});
  optim::SGD optimizer({weight});
  StepGraph steps(device);
  const auto step = [&](std::span<const Tensor> in) {
    sum(weight * in[0]).backward();
    optimizer.step();
    optimizer.set_lr(0.5);
    return weight.detach();
  };
  std::string text = "no error";
  try {
    steps.run({ones({1})}, step);
  } catch (const GradError& error) {
    text = error.what();
  }
  CHECK(text.find("StepGraph::run") != std::string::npos);
  CHECK(optimizer.lr() == optim::SGDOptions().lr);
}

TEST_CASE("cuda: a recorded step is the plain one: losses, parameters, step counts, random numbers, learning rate") {
  if (!cuda_device()) return;
  for (const Rule rule : {Rule::sgd, Rule::adam}) {
    CAPTURE(static_cast<int>(rule));
    const Course plain = train(new_cuda_device(), rule, false), graph = train(new_cuda_device(), rule, true);
    CHECK(graph.recorded == 2);
    REQUIRE(plain.losses.size() == graph.losses.size());
    for (std::size_t i = 0; i < plain.losses.size(); ++i) {
      CAPTURE(i);
      CHECK(graph.losses[i] == doctest::Approx(plain.losses[i]).epsilon(1e-6));
    }
    for (std::size_t i = 0; i < plain.weights.size(); ++i)
      CHECK(graph.weights[i] == doctest::Approx(plain.weights[i]).epsilon(1e-5));
    CHECK(graph.steps == plain.steps);
  }
}

TEST_CASE("cuda: what a step leaves behind at its first run is not where another recording works") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const DeviceScope scope(device);
  StepGraph graph(device);
  std::vector<Tensor> kept;
  const auto step = [&](std::span<const Tensor> in) {
    if (Capture::is_rehearsal()) kept.push_back(in[0] * 1.0);
    Tensor y = in[0];
    for (int i = 0; i < 4; ++i) y = y * 2.0;
    return y;
  };
  const auto ones = [&](std::int64_t size) { return Tensor(full({size}, 1, DType::float32, device)); };
  for (int i = 0; i < 3; ++i) graph.run({ones(64)}, step);
  for (int i = 0; i < 3; ++i) graph.run({ones(65)}, step);
  CHECK(graph.run({ones(64)}, step).array().values<float>() == std::vector<float>(64, 16.0f));
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].array().values<float>() == std::vector<float>(64, 1.0f));
  CHECK(kept[1].array().values<float>() == std::vector<float>(65, 1.0f));
}

TEST_CASE("cuda: autocast around recorded steps: half copies are those of the present parameters") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const DeviceScope scope(device);
  const Tensor x(full({4, 4}, 1, DType::float32, device));
  Tensor weight(full({4, 4}, 1, DType::float32, device), true);
  const AutocastScope half(DType::bfloat16);
  StepGraph graph(device);
  const auto step = [&](std::span<const Tensor> in) { return matmul(in[0], weight).detach(); };
  for (const double value : {1.0, 1.0, 2.0, 3.0}) {
    fill(weight.array(), value);
    CHECK(graph.run({x}, step).values<float>() == std::vector<float>(16, static_cast<float>(4 * value)));
  }
  CHECK(graph.recorded() == 1);
}

TEST_CASE("cuda: memory of another stream that is freed while a step is recorded is never handed out again") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const DeviceScope scope(device);
  StepGraph graph(device);
  const Tensor x(full({2}, 1, DType::float32, device));
  Array outside = full({5000000}, 3, DType::float32, device);
  const auto step = [&](std::span<const Tensor> in) {
    if (!Capture::is_rehearsal()) {
      outside.record_stream(Stream(device));
      outside = Array();
    }
    return in[0] * 2.0;
  };
  for (int i = 0; i < 4; ++i) CHECK(graph.run({x}, step).values<float>() == std::vector<float>{2, 2});
  const memory::Bytes reserved = memory::reserved(device);
  const Array another = full({5000000}, 4, DType::float32, device);
  CHECK(memory::reserved(device) > reserved);
  CHECK(another.slice(0, 7, 8).item() == 4);
}

TEST_CASE("cuda: a step that copies memory of the host cannot be recorded") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const DeviceScope scope(device);
  StepGraph graph(device);
  const Tensor x(full({2}, 1, DType::float32, device));
  const auto step = [&](std::span<const Tensor> in) {
    return in[0] + Tensor(Array::from(std::vector<float>{1, 2}, {2}, device));
  };
  CHECK(graph.run({x}, step).values<float>() == std::vector<float>{2, 3});
  CHECK_THROWS_AS(graph.run({x}, step), CudaError);
  CHECK((x + x).values<float>() == std::vector<float>{2, 2});
}

TEST_CASE("cuda: a step that reads a value cannot be recorded, says so, and leaves the device usable") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const DeviceScope scope(device);
  StepGraph graph(device);
  const Tensor x(Array::from(std::vector<float>{1, 2}, {2}, device));
  const auto step = [](std::span<const Tensor> in) {
    const double first = sum(in[0]).item();
    return in[0] * first;
  };
  CHECK(graph.run({x}, step).array().values<float>() == std::vector<float>{3, 6});
  CHECK_THROWS_AS(graph.run({x}, step), CudaError);
  CHECK(graph.recorded() == 0);
  CHECK((x + x).array().values<float>() == std::vector<float>{2, 4});
}

// The recording took the copy of before: what others had written since the plain run was lost.
TEST_CASE("StepGraph: half weights that others change between runs are where the next step begins") {
  for (const int changed_before : {1, 2, 5}) {
    CAPTURE(changed_before);
    std::vector<double> weights[2];
    for (const bool graph : {false, true}) {
      const Device device = cuda_device() ? *cuda_device() : Device::open("cpu");
      const DeviceScope scope(device);
      Tensor weight(full(Shape{64}, 1, DType::bfloat16, device), true);
      optim::SGD sgd({weight}, {.lr = 1e-3, .master_weights = true});
      StepGraph steps(device);
      const auto step = [&](std::span<const Tensor> in) {
        sgd.zero_grad();
        Tensor loss = sum(weight * in[0]);
        loss.backward();
        sgd.step();
        return loss.detach();
      };
      for (int i = 0; i < 8; ++i) {
        if (i == changed_before) {
          const NoGradScope no_grad;
          fill_(weight, 4);
        }
        const std::vector<Tensor> inputs{Tensor(full(Shape{64}, 1, DType::bfloat16, device))};
        (void)(graph ? steps.run(inputs, step) : step(inputs));
      }
      weights[graph ? 1 : 0] = weight.array().values<double>();
    }
    CHECK(weights[0] == weights[1]);
    CHECK(weights[0].front() > 3.9);
  }
}
