// Five steps of training against those of PyTorch (tests/autograd/fixtures/make.py).
#include <doctest/doctest.h>

#include <functional>
#include <memory>

#include <mnemo/nn/layers.h>
#include <mnemo/optim/optimizer.h>

#include "autograd/fixtures/torch_values.h"
#include "torch_numbers.h"

using namespace mnemo;

namespace {

struct Net : nn::Module<Net> {
  nn::Linear first{{.in = 3, .out = 4}}, second{{.in = 4, .out = 2}};

  Tensor forward(const Tensor& x) { return second(tanh(first(x))); }
  void visit(nn::Visitor& v) { v.child("first", first), v.child("second", second); }
};

using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(std::vector<Tensor>)>;

void train(const std::string& name, const MakeOptimizer& make) {
  CAPTURE(name);
  Net net;
  net.to(DType::float64);
  std::vector<Tensor> parameters = net.parameters();
  no_grad([&] {
    for (std::size_t i = 0; i < parameters.size(); ++i)
      copy_(parameters[i], torch_numbers(static_cast<std::int64_t>(i), parameters[i].shape()));
  });
  const auto optimizer = make(parameters);
  const Tensor x = torch_numbers(20, {5, 3}), target = torch_numbers(21, {5, 2});
  std::vector<double> losses;
  for (int step = 0; step < 5; ++step) {
    optimizer->zero_grad();
    const Tensor loss = mse_loss(net(x), target);
    losses.push_back(loss.item());
    loss.backward();
    optimizer->step();
  }
  std::vector<double> values;
  for (const Tensor& parameter : net.parameters()) {
    for (const double value : parameter.values<double>()) values.push_back(value);
  }
  check_as_torch(losses, kTorch.at(name + ".losses"));
  check_as_torch(values, kTorch.at(name + ".parameters"));
}

template <class Kind, class Options>
MakeOptimizer with(Options options) {
  return [options](std::vector<Tensor> parameters) { return std::make_unique<Kind>(std::move(parameters), options); };
}

}  // namespace

TEST_CASE("PyTorch agrees: parameters and losses of five steps with every optimizer") {
  train("sgd", with<optim::SGD>(optim::SGDOptions{.lr = 0.1}));
  train("sgd_nesterov",
        with<optim::SGD>(optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}));
  train("sgd_dampened", with<optim::SGD>(optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5}));
  train("adam", with<optim::Adam>(optim::AdamOptions{
                    .lr = 0.05, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.01}));
  train("adamw", with<optim::AdamW>(optim::AdamWOptions{.lr = 0.05, .weight_decay = 0.1}));
}
