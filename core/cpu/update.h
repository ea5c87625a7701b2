// What the ways to update a parameter share.
#pragma once

#include <mnemo/core/backend.h>

namespace mnemo::cpu {

/// 1 / scale, rounded once; 1 where there is no scale.
template <class C>
C inverse_of(const Array& scale) {
  return scale.defined() ? static_cast<C>(1 / static_cast<double>(*scale.data<float>())) : C{1};
}

/// Adam with its moments in 8 bits (update_in_8_bits.cpp).
void update_in_8_bits(const UpdateCall& call, const UpdateSlot& slot);

}  // namespace mnemo::cpu
