// update: one pass over each parameter, its gradient and its moments; nothing is allocated.
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/cpu/update.h>

namespace mnemo::cpu {

namespace {

template <class C>
void sgd(const SgdNumbers<C> numbers, std::int64_t count, C* parameter, const C* gradient, C* momentum) {
  if (momentum) {
    for (std::int64_t i = 0; i < count; ++i) numbers.apply(gradient[i], parameter[i], momentum[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) numbers.apply(gradient[i], parameter[i]);
  }
}

template <class C>
void adam(const AdamNumbers<C> numbers, std::int64_t count, C* parameter, const C* gradient, C* first, C* second) {
  for (std::int64_t i = 0; i < count; ++i) numbers.apply(gradient[i], parameter[i], first[i], second[i]);
}

/// What the parameter sees of a scaled gradient.
template <class C>
void unscale_values(C* gradient, std::int64_t count, C inverse) {
  for (std::int64_t i = 0; i < count; ++i) gradient[i] *= inverse;
}

template <class C>
void update_slot(const UpdateCall& call, const UpdateSlot& slot) {
  // All arrays of a slot are dense with the same strides, so position i means the same element in each.
  const auto base = [](const Array& array) { return array.layout().offset; };
  const C inverse = inverse_of<C>(call.scale);
  parallel_for(slot.parameter.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    C buffers[4][kBuffer];
    for (std::int64_t i = begin; i < end; i += kBuffer) {
      const std::int64_t count = std::min(kBuffer, end - i);
      const Array* arrays[4] = {&slot.parameter, &slot.gradient, &slot.first, &slot.second};
      C* values[4] = {};
      for (int n = 0; n < 4; ++n) {
        if (!arrays[n]->defined()) continue;
        const bool as_it_is = n != 1 || inverse == C{1};  // the gradient itself keeps its scale
        values[n] = as_it_is ? in_place<C>(*arrays[n], base(*arrays[n]) + i, 1) : nullptr;
        if (values[n]) continue;
        load(*arrays[n], base(*arrays[n]) + i, 1, count, buffers[n]);
        values[n] = buffers[n];
      }
      if (inverse != C{1}) unscale_values(values[1], count, inverse);
      if (call.rule == UpdateCall::Rule::sgd)
        sgd(SgdNumbers<C>(call), count, values[0], values[1], values[2]);
      else
        adam(AdamNumbers<C>(call), count, values[0], values[1], values[2], values[3]);
      for (int n = 0; n < 4; ++n) {
        if (n != 1 && values[n] == buffers[n]) store(buffers[n], count, *arrays[n], base(*arrays[n]) + i, 1);
      }
      if (slot.half.defined()) store(values[0], count, slot.half, base(slot.half) + i, 1);
    }
  });
}

}  // namespace

void CpuBackend::update(const UpdateCall& usual, std::span<const UpdateSlot> slots) {
  const bool found = usual.found.defined() && *usual.found.data<float>() != 0;
  for (const UpdateSlot& slot : slots) {
    std::int32_t* skipped = slot.skipped.defined() ? slot.skipped.data<std::int32_t>() : nullptr;
    if (found) {
      ++*skipped;
      continue;
    }
    UpdateCall call = usual;
    if (call.rate.defined()) call.lr = *call.rate.data<double>();
    if (call.later.defined()) call.count += *call.later.data<std::int64_t>();
    if (skipped || call.later.defined()) call.leave_out(skipped ? *skipped : 0);
    if (slot.first_largest.defined())
      update_in_8_bits(call, slot);
    else if (slot.parameter.dtype() == DType::float64)
      update_slot<double>(call, slot);
    else
      update_slot<float>(call, slot);
  }
}

}  // namespace mnemo::cpu
