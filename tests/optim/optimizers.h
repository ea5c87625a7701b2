// The rules of the optimizers in float64, one number at a time, as their papers write them; and parameters to try them
// on.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/optim/optimizer.h>

#include "core/numbers.h"

namespace optimizers {

using namespace mnemo;
using namespace mnemo::optim;

/// Which rule, with its options.
struct Rule {
  std::string name;
  std::optional<SGDOptions> sgd = {};
  std::optional<AdamOptions> adam = {};
  std::optional<AdamWOptions> adamw = {};

  std::unique_ptr<Optimizer> make(std::vector<Tensor> parameters) const {
    if (sgd) return std::make_unique<SGD>(std::move(parameters), *sgd);
    if (adam) return std::make_unique<Adam>(std::move(parameters), *adam);
    return std::make_unique<AdamW>(std::move(parameters), *adamw);
  }
  /// Numbers kept per element.
  int moments() const { return sgd ? (sgd->momentum != 0 ? 1 : 0) : 2; }
};

/// One element on its way.
struct Element {
  double value = 0, first = 0, second = 0;
  int steps = 0;

  void step(const Rule& rule, double gradient, double lr) {
    ++steps;
    if (rule.sgd) {
      const SGDOptions& o = *rule.sgd;
      double g = (o.maximize ? -gradient : gradient) + o.weight_decay * value;
      if (o.momentum != 0) {
        first = steps == 1 ? g : o.momentum * first + (1 - o.dampening) * g;
        g = o.nesterov ? g + o.momentum * first : first;
      }
      value -= lr * g;
      return;
    }
    const bool decoupled = rule.adamw.has_value();
    const AdamOptions o = decoupled ? AdamOptions{rule.adamw->lr,      rule.adamw->beta1,        rule.adamw->beta2,
                                                  rule.adamw->epsilon, rule.adamw->weight_decay, rule.adamw->maximize}
                                    : *rule.adam;
    double g = o.maximize ? -gradient : gradient;
    if (decoupled)
      value -= lr * o.weight_decay * value;
    else
      g += o.weight_decay * value;
    first = o.beta1 * first + (1 - o.beta1) * g;
    second = o.beta2 * second + (1 - o.beta2) * g * g;
    const double mean = first / (1 - std::pow(o.beta1, steps)), square = second / (1 - std::pow(o.beta2, steps));
    value -= lr * mean / (std::sqrt(square) + o.epsilon);
  }
};

inline std::vector<Rule> all_rules() {
  return {
      {.name = "sgd", .sgd = SGDOptions{.lr = 0.1}},
      {.name = "sgd, weight decay", .sgd = SGDOptions{.lr = 0.1, .weight_decay = 0.05}},
      {.name = "sgd, momentum", .sgd = SGDOptions{.lr = 0.1, .momentum = 0.9}},
      {.name = "sgd, momentum and dampening",
       .sgd = SGDOptions{.lr = 0.1, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.01}},
      {.name = "sgd, nesterov", .sgd = SGDOptions{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}},
      {.name = "sgd, maximize", .sgd = SGDOptions{.lr = 0.1, .momentum = 0.5, .weight_decay = 0.01, .maximize = true}},
      {.name = "adam", .adam = AdamOptions{.lr = 0.01}},
      {.name = "adam, weight decay",
       .adam = AdamOptions{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1}},
      {.name = "adam, maximize", .adam = AdamOptions{.lr = 0.01, .weight_decay = 0.1, .maximize = true}},
      {.name = "adamw", .adamw = AdamWOptions{.lr = 0.01}},
      {.name = "adamw, much decay",
       .adamw = AdamWOptions{.lr = 0.02, .beta1 = 0.5, .weight_decay = 0.5, .maximize = true}}};
}

inline Tensor parameter_of(const std::vector<double>& values, const Shape& shape, DType dtype,
                           const Device& device = "cpu") {
  return Tensor(Array::from<double>(values, shape, device).to(dtype), true);
}

inline std::vector<double> any_numbers(numbers::Generator& random, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.uniform();
  return values;
}

}  // namespace optimizers
