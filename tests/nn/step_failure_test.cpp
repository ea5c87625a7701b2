// The strong guarantee: whichever request for memory of a training step fails, on the device or on the heap, the step
// has not happened, and can be tried again at once.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/attention.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/norms.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/nn/transaction.h>
#include <mnemo/optim/optimizer.h>
#include <mnemo/optim/scaler.h>

#include "nn/heap.h"

using namespace mnemo;
using namespace mnemo::nn;

namespace {

/// A model with its optimizer and data, on a device of its own.
class Program {
 public:
  using Forward = std::function<Tensor(Sequential&, const Tensor&)>;
  struct Kind {
    const char* name;
    std::function<Sequential()> net;
    Shape input;
    std::function<std::unique_ptr<optim::Optimizer>(std::vector<Tensor>)> optimizer;
    Forward forward = [](Sequential& model, const Tensor& x) { return model(x); };
    int parts = 1;  ///< micro-batches whose gradients are accumulated
  };

  /// How it computes, besides what it computes.
  struct Way {
    const char* name;
    bool autocast = false;
    bool checkpointed = false;
    bool scaled = false;  ///< float16 with a scaled loss
  };

  /// After `steps` steps: the first one makes the optimizer's state.
  Program(const Kind& kind, const Way& way, int steps) : kind_(kind), way_(way), device_(Device::open("cpu")) {
    const DeviceScope on_device(device_);
    manual_seed(11);
    net_ = std::make_unique<Sequential>(kind.net());
    if (way.checkpointed) net_->checkpoint(2);
    optimizer_ = kind.optimizer(net_->parameters());
    x_ = randn(kind.input);
    targets_ = randint(0, 4, {kind.input[0]});
    while (steps_ < steps) step();
  }

  void step() {
    const Transaction transaction = nn::transaction(*net_);
    for (int part = 0; part < kind_.parts; ++part) {
      const memory::StepScope numbered(steps_);
      Tensor loss;
      {
        const AutocastScope half(
            AutocastState{.enabled = way_.autocast, .dtype = way_.scaled ? DType::float16 : DType::bfloat16});
        loss = cross_entropy(kind_.forward(*net_, x_), targets_) * (1.0 / kind_.parts);
      }
      (way_.scaled ? scaler_.scale(loss) : loss).backward();
    }
    if (way_.scaled) {
      scaler_.step(*optimizer_);
      scaler_.update();
    } else {
      optimizer_->step();
    }
    optimizer_->zero_grad();
    ++steps_;
  }

  /// Everything that a step changes and that can be seen, as text of exact values.
  std::string state() {
    std::string text;
    const auto add = [&](const Tensor& tensor) {
      const std::vector<float> values = tensor.values<float>();
      text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    };
    for (const NamedTensor& named : net_->named_parameters()) {
      add(named.tensor);
      text += named.tensor.grad().defined() ? '1' : '0';
      if (named.tensor.grad().defined()) add(named.tensor.grad());
    }
    for (const NamedTensor& named : net_->named_buffers()) add(named.tensor);
    if (way_.scaled) text += std::to_string(scaler_.factor()) + ' ';
    text += std::to_string(random_state().seed) + ' ' + std::to_string(random_state().offset);
    return text + ' ' + std::to_string(device_.allocator().allocated()) + ' ' + std::to_string(steps_);
  }

  memory::CachingAllocator& allocator() { return device_.allocator(); }

 private:
  const Kind& kind_;
  const Way& way_;
  Device device_;
  std::unique_ptr<Sequential> net_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  optim::GradScaler scaler_;
  Tensor x_, targets_;
  int steps_ = 0;
};

using optim::Adam;
using optim::SGD;
using Parameters = std::vector<Tensor>;

const auto with_adam = [](Parameters parameters) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<Adam>(std::move(parameters), optim::AdamOptions{.lr = 0.01});
};
const auto with_momentum = [](Parameters parameters) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<SGD>(std::move(parameters), optim::SGDOptions{.lr = 0.1, .momentum = 0.9});
};
const auto plain = [](Parameters parameters) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<SGD>(std::move(parameters), optim::SGDOptions{.lr = 0.1});
};

Sequential perceptron() {
  return Sequential(Linear({.in = 6, .out = 8}), GELU(), Dropout(0.3), Linear({.in = 8, .out = 4}));
}
Sequential images() {
  return Sequential(Conv2d({.in = 2, .out = 4, .kernel = 3, .padding = 1}), BatchNorm2d({.channels = 4}), ReLU(),
                    MaxPool2d({.kernel = 2}), Flatten(), Dropout(0.5), Linear({.in = 4 * 3 * 3, .out = 4}));
}
Sequential signals() {
  return Sequential(Conv1d({.in = 2, .out = 4, .kernel = 3, .stride = 2, .padding = 1}), BatchNorm1d({.channels = 4}),
                    ReLU(), Flatten(), Linear({.in = 4 * 4, .out = 4}));
}
Sequential volumes() {
  return Sequential(Conv3d({.in = 1, .out = 3, .kernel = 3, .padding = 1}), BatchNorm3d({.channels = 3}), ReLU(),
                    MaxPool3d({.kernel = 2}), Flatten(), Linear({.in = 3 * 2 * 2 * 2, .out = 4}));
}

/// Results that backward computes again, with dropout in what does.
Sequential sequences() {
  Sequential net(TransformerBlock({.features = 6, .heads = 2, .causal = true, .dropout = 0.2}),
                 GroupNorm({.groups = 1, .channels = 3}), SiLU(), Flatten(), Linear({.in = 3 * 6, .out = 4}));
  net.work_in_place();
  return net;
}

/// A shortcut around the first layer.
Tensor with_skip(Sequential& net, const Tensor& x) {
  return net(x + checkpoint([&](const Tensor& y) { return tanh(y); }, x));
}

const Program::Kind kinds[] = {
    {"perceptron, Adam", perceptron, {5, 6}, with_adam},
    {"images, momentum", images, {3, 2, 6, 6}, with_momentum},
    {"images, two micro-batches, Adam",
     images,
     {3, 2, 6, 6},
     with_adam,
     [](Sequential& net, const Tensor& x) { return net(x); },
     2},
    {"signals, plain", signals, {3, 2, 8}, plain},
    {"volumes, Adam", volumes, {2, 1, 4, 4, 4}, with_adam},
    {"sequences in place, Adam", sequences, {2, 3, 6}, with_adam},
    {"skips, momentum",
     [] {
       return Sequential(Linear({.in = 6, .out = 8}), Linear({.in = 8, .out = 8}), ReLU(), Linear({.in = 8, .out = 4}));
     },
     {5, 6},
     with_momentum,
     with_skip},
};

const Program::Way ways[] = {{"float32"},
                             {"autocast", true},
                             {"float32, checkpointed", false, true},
                             {"autocast, checkpointed", true, true},
                             {"float16, scaled", true, false, true}};

constexpr std::int64_t kAll = std::int64_t{1} << 40;

/// Where a request can fail.
struct Place {
  const char* name;
  std::function<void(Program&, std::int64_t first, std::int64_t count)> fail;
};
const Place device{"device", [](Program& program, std::int64_t first, std::int64_t count) {
                     program.allocator().inject_failures(first, count);
                   }};
const Place host{"heap", [](Program&, std::int64_t first, std::int64_t count) { heap::fail(first, count); }};

/// After `steps` steps, fails request `n` (and all after it, if `on`) of a step, for every n that there is; each time
/// the step is then tried again inside of the handler. Returns the number of failures.
int sweep(const Program::Kind& kind, const Program::Way& way, int steps, const Place& place, bool on) {
  INFO(kind.name, ", ", way.name, ", after ", steps, " steps");
  Program reference(kind, way, steps);
  const std::string before = reference.state();
  reference.step();
  const std::string after = reference.state();

  auto program = std::make_unique<Program>(kind, way, steps);
  REQUIRE(program->state() == before);
  int failures = 0;
  for (std::int64_t n = 1;; ++n) {
    bool failed = false;
    try {
      place.fail(*program, n, on ? kAll : 1);
      program->step();
    } catch (const std::bad_alloc&) {
      failed = true;
      place.fail(*program, 1, 0);
      if (program->state() != before) {
        FAIL_CHECK("request " << n << " on the " << place.name << " left a trace");
        return failures;
      }
      ++failures;
      program->step();
      if (program->state() != after) FAIL_CHECK("the step after request " << n << " differs");
    }
    // A request may also fail without harm, such as one for another thread.
    const bool harmless = heap::has_failed() && !failed;
    if (harmless && program->state() != after) FAIL_CHECK("the step with request " << n << " differs");
    place.fail(*program, 1, 0);
    if (!failed && !harmless) break;
    program = std::make_unique<Program>(kind, way, steps);
  }
  CHECK(program->state() == after);
  return failures;
}

}  // namespace

TEST_CASE("a step that finds no memory on the device, at any of its requests, has not happened") {
  for (const Program::Kind& kind : kinds) {
    for (const Program::Way& way : ways) {
      for (const int steps : {0, 1}) {
        for (const bool on : {false, true}) CHECK(sweep(kind, way, steps, device, on) > 10);
      }
    }
  }
}

TEST_CASE("a step that finds no memory on the heap, at any of its requests, has not happened") {
  for (const Program::Kind& kind : kinds) {
    for (const Program::Way& way : ways) {
      for (const int steps : {0, 1}) {
        for (const bool on : {false, true}) CHECK(sweep(kind, way, steps, host, on) > 50);
      }
    }
  }
}
