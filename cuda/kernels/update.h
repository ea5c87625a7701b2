// What the kernels that update parameters share. Private: includes CUDA's headers.
#pragma once

#include <span>

#include <mnemo/core/backend.h>
#include <mnemo/cuda/kernels/elements.h>

namespace mnemo::cuda {

class CudaBackend;

/// An UpdateCall as kernels take it: what lies on the device is read there, so that nobody waits for it.
struct Step {
  UpdateNumbers numbers;
  const float* scale;
  const float* found;
  const std::int64_t* later;
  const double* rate;

  explicit Step(const UpdateCall& call)
      : numbers(call),
        scale(elements<float>(call.scale)),
        found(elements<float>(call.found)),
        later(elements<std::int64_t>(call.later)),
        rate(elements<double>(call.rate)) {}

  /// Whether the step does not happen; then `counts` says who counts it in the slot's `skipped`, one thread of the
  /// block.
  __device__ bool is_skipped(std::int32_t* skipped, bool counts) const {
    if (found == nullptr || *found == 0) return false;
    if (counts && threadIdx.x == 0 && skipped != nullptr) ++*skipped;
    return true;
  }
  /// The numbers of a parameter of which `skipped` steps did not happen: `usual`, unless something on the device says
  /// otherwise. Every thread of the block takes part; one of them computes, since powers, divisions and roots in
  /// float64 take long, on most cards very long.
  template <class Numbers>
  __device__ Numbers numbers_for(const Numbers& usual, std::int32_t skipped) const {
    if (skipped == 0 && later == nullptr && rate == nullptr) return usual;
    alignas(Numbers) __shared__ unsigned char room[sizeof(Numbers)];
    auto* const shared = reinterpret_cast<Numbers*>(room);
    if (threadIdx.x == 0) {
      UpdateNumbers now = numbers;
      if (rate != nullptr) now.lr = *rate;
      if (later != nullptr) now.count += *later;
      now.leave_out(skipped);
      *shared = Numbers(now);
    }
    __syncthreads();
    return *shared;
  }
  /// 1 / scale, rounded once.
  template <class C>
  __device__ C inverse() const {
    return scale != nullptr ? C{1} / static_cast<C>(*scale) : C{1};
  }
};

/// Element `i` of an array of a floating dtype that is only known when the kernel runs.
template <class C>
__device__ C load_as(const void* from, DType dtype, std::int64_t i) {
  C value{};
  visit_floating(dtype, [&](auto zero) { value = cast<C>(static_cast<const decltype(zero)*>(from)[i]); });
  return value;
}
template <class C>
__device__ void store_as(C value, void* to, DType dtype, std::int64_t i) {
  visit_floating(dtype, [&](auto zero) { static_cast<decltype(zero)*>(to)[i] = cast<decltype(zero)>(value); });
}

/// Adam for the slots whose moments are codes of 8 bits.
void update_8_bits(const CudaBackend& backend, const UpdateCall& call, std::span<const UpdateSlot> slots);

}  // namespace mnemo::cuda
