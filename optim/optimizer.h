// Optimizers: they take a list of parameters and change them from their gradients. State is made at the first step.
#pragma once

#include <utility>
#include <vector>

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/backend.h>

namespace mnemo::optim {

/// The base of every optimizer: the parameters, their state, and the step in one fused pass without temporaries.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Changes every parameter that has a gradient. Missing state is allocated before anything is changed, so that
  /// an OutOfMemory leaves parameters and state as they were.
  void step();
  /// Drops the gradients' memory, or fills it with zeros.
  void zero_grad(bool set_to_none = true);

  double lr() const { return lr_; }
  /// Throws ConfigError when negative or not a number.
  void set_lr(double lr);
  const std::vector<Tensor>& parameters() const { return parameters_; }

 protected:
  /// Throws GradError for a parameter that requires no gradient, or comes twice; ShapeError for a view with gaps.
  Optimizer(std::vector<Tensor> parameters, double lr);

  /// How many moments a parameter has: 0, 1 or 2.
  virtual int moments() const = 0;
  /// The numbers of the update for parameters that are at their `count`-th step (1: the first).
  virtual UpdateCall call(std::int64_t count) const = 0;

 private:
  struct State {
    Array first, second;
    std::int64_t steps = 0;
  };

  /// Zeros for the moments that parameters with a gradient lack, and where they belong.
  std::vector<std::pair<Array*, Array>> missing_state();

  std::vector<Tensor> parameters_;
  std::vector<State> states_;
  double lr_;
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};

/// Stochastic gradient descent; with momentum it keeps one value per parameter.
class SGD final : public Optimizer {
 public:
  explicit SGD(std::vector<Tensor> parameters, SGDOptions options = {});

 private:
  int moments() const override { return options_.momentum != 0 ? 1 : 0; }
  UpdateCall call(std::int64_t count) const override;
  SGDOptions options_;
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool maximize = false;
};

/// Adam (Kingma and Ba, 2014): two values per parameter. Weight decay is added to the gradient.
class Adam : public Optimizer {
 public:
  explicit Adam(std::vector<Tensor> parameters, AdamOptions options = {});

 protected:
  int moments() const final { return 2; }
  UpdateCall call(std::int64_t count) const override;

 private:
  AdamOptions options_;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  bool maximize = false;
};

/// Adam with weight decay that shrinks the parameter itself (Loshchilov and Hutter, 2017).
class AdamW final : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> parameters, AdamWOptions options = {});

 private:
  UpdateCall call(std::int64_t count) const override;
};

}  // namespace mnemo::optim
