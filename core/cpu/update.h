// What the ways to update a parameter share.
#pragma once

#include <cmath>

#include <mnemo/core/backend.h>

namespace mnemo::cpu {

/// 1 / scale, rounded once; 1 where there is no scale.
template <class C>
C inverse_of(const Array& scale) {
  return scale.defined() ? static_cast<C>(1 / static_cast<double>(*scale.data<float>())) : C{1};
}

/// The numbers of Adam (Kingma and Ba, 2014, algorithm 1; with decoupled decay Loshchilov and Hutter, AdamW, 2017,
/// algorithm 2) in the type C that it is computed in.
template <class C>
struct AdamNumbers {
  explicit AdamNumbers(const UpdateCall& call)
      : beta1(static_cast<C>(call.beta1)),
        beta2(static_cast<C>(call.beta2)),
        // In float, 1 - beta2 taken from the rounded beta2 would be wrong in its fifth digit.
        take1(static_cast<C>(1 - call.beta1)),
        take2(static_cast<C>(1 - call.beta2)),
        epsilon(static_cast<C>(call.epsilon)),
        rate(static_cast<C>(call.lr / call.bias_correction1)),
        root2(static_cast<C>(std::sqrt(call.bias_correction2))),
        l2(static_cast<C>(call.decoupled_weight_decay ? 0 : call.weight_decay)),
        shrink(static_cast<C>(call.decoupled_weight_decay ? 1 - call.lr * call.weight_decay : 1)),
        sign(call.maximize ? C{-1} : C{1}) {}

  C beta1, beta2, take1, take2, epsilon, rate, root2, l2, shrink, sign;
};

/// Adam with its moments in 8 bits (update_in_8_bits.cpp).
void update_in_8_bits(const UpdateCall& call, const UpdateSlot& slot);

}  // namespace mnemo::cpu
