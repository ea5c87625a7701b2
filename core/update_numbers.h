// The numbers of an optimizer's step, and what they do to one value: shared by the CPU and the CUDA backend.
#pragma once

#include <cmath>
#include <cstdint>

#include <mnemo/core/host_device.h>

namespace mnemo {

/// What a step needs to know besides the arrays.
struct UpdateNumbers {
  enum class Rule : std::uint8_t { sgd, adam } rule = Rule::sgd;
  double lr = 1e-3;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;  ///< AdamW
  bool maximize = false;
  // sgd
  double momentum = 0, dampening = 0;
  bool nesterov = false;
  bool first_step = false;  ///< momentum buffers start as the gradient
  // adam
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double bias_correction1 = 1, bias_correction2 = 1;  ///< 1 - beta^step
  std::int64_t count = 1;                             ///< which step of the parameters this is, skipped ones counted

  /// Makes them the numbers of a parameter of which `skipped` steps did not happen.
  MNEMO_HOST_DEVICE void leave_out(std::int64_t skipped) {
    const double happened = static_cast<double>(count - skipped);
    first_step = count - skipped == 1;
    bias_correction1 = 1 - std::pow(beta1, happened);
    bias_correction2 = 1 - std::pow(beta2, happened);
  }
};

/// Gradient descent in the type C that it is computed in.
template <class C>
struct SgdNumbers {
  MNEMO_HOST_DEVICE explicit SgdNumbers(const UpdateNumbers& numbers)
      : lr(static_cast<C>(numbers.lr)),
        decay(static_cast<C>(numbers.weight_decay)),
        keep(static_cast<C>(numbers.momentum)),
        take(static_cast<C>(1 - numbers.dampening)),
        sign(numbers.maximize ? C{-1} : C{1}),
        nesterov(numbers.nesterov),
        first_step(numbers.first_step) {}

  MNEMO_HOST_DEVICE void apply(C gradient, C& parameter) const {
    parameter -= lr * (sign * gradient + decay * parameter);
  }
  MNEMO_HOST_DEVICE void apply(C gradient, C& parameter, C& momentum) const {
    const C step = sign * gradient + decay * parameter;
    momentum = first_step ? step : keep * momentum + take * step;
    parameter -= lr * (nesterov ? step + keep * momentum : momentum);
  }

  C lr, decay, keep, take, sign;
  bool nesterov, first_step;
};

/// Adam (Kingma and Ba, 2014, algorithm 1; with decoupled decay Loshchilov and Hutter, AdamW, 2017, algorithm 2) in the
/// type C that it is computed in.
template <class C>
struct AdamNumbers {
  MNEMO_HOST_DEVICE explicit AdamNumbers(const UpdateNumbers& numbers)
      : beta1(static_cast<C>(numbers.beta1)),
        beta2(static_cast<C>(numbers.beta2)),
        // In float, 1 - beta2 taken from the rounded beta2 would be wrong in its fifth digit.
        take1(static_cast<C>(1 - numbers.beta1)),
        take2(static_cast<C>(1 - numbers.beta2)),
        epsilon(static_cast<C>(numbers.epsilon)),
        rate(static_cast<C>(numbers.lr / numbers.bias_correction1)),
        root2(static_cast<C>(std::sqrt(numbers.bias_correction2))),
        l2(static_cast<C>(numbers.decoupled_weight_decay ? 0 : numbers.weight_decay)),
        shrink(static_cast<C>(numbers.decoupled_weight_decay ? 1 - numbers.lr * numbers.weight_decay : 1)),
        sign(numbers.maximize ? C{-1} : C{1}) {}

  MNEMO_HOST_DEVICE void apply(C gradient, C& parameter, C& first, C& second) const {
    const C g = sign * gradient + l2 * parameter;
    first = beta1 * first + take1 * g;
    second = beta2 * second + take2 * g * g;
    parameter = shrink * parameter - rate * first / (std::sqrt(second) / root2 + epsilon);
  }

  C beta1, beta2, take1, take2, epsilon, rate, root2, l2, shrink, sign;
};

}  // namespace mnemo
