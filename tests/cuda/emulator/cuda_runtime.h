// The part of the emulation that kernels see: their keywords, indices, barriers, shuffles and atomics. A kernel's
// threads are fibers of one host thread. A fiber runs until it meets a barrier; the others follow in order, or from
// the last to the first if MNEMO_EMULATOR_ORDER is "reverse": a missing barrier gives another result then.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
// One block runs at a time, so its shared memory is a static variable.
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emulator {

inline constexpr std::size_t kMostParameterBytes = 4096;

void wait_for_block();
void wait_for_warp();
/// Where a lane leaves something for the others of its warp; two buffers in turn, so that one barrier is enough.
struct Lanes {
  unsigned char values[32][8];
  bool present[32];
};
Lanes& lanes();
void next_lanes();
int lane();

/// Runs a grid of `body`, a call of `kernel`; returns what the runtime would.
cudaError_t run(cudaStream_t stream, const void* kernel, dim3 grid, dim3 block, std::function<void()> body);

/// Lists a kernel that is started, like list_work.
void list_launch(const void* kernel, dim3 grid, dim3 block);

/// Every lane gives `value` and gets that of lane `from` (its own where there is none).
template <class T>
T exchange(T value, int from) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  Lanes& slots = lanes();
  std::memcpy(slots.values[lane()], &value, sizeof value);
  slots.present[lane()] = true;
  next_lanes();
  wait_for_warp();
  if (from >= 0 && from < 32 && slots.present[from]) std::memcpy(&value, slots.values[from], sizeof value);
  return value;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait_for_block(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait_for_warp(); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned, T value, int from, int width = 32) {
  return emulator::exchange(value, emulator::lane() / width * width + from % width);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), from = lane + static_cast<int>(delta);
  return emulator::exchange(value, from / width == lane / width ? from : lane);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), from = lane - static_cast<int>(delta);
  return emulator::exchange(value, from >= lane / width * width ? from : lane);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const int lane = emulator::lane(), from = lane ^ mask;
  return emulator::exchange(value, from / width == lane / width ? from : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  emulator::Lanes& slots = emulator::lanes();
  emulator::exchange<int>(predicate != 0, emulator::lane());
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) {
    int set = 0;
    std::memcpy(&set, slots.values[i], sizeof set);
    if (slots.present[i] && set != 0) bits |= 1u << i;
  }
  return bits;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline int __syncthreads_or(int predicate) {
  static int any, users;
  if (users++ == 0) any = 0;
  any |= predicate != 0;
  __syncthreads();
  const int result = any;
  users = 0;
  __syncthreads();
  return result;
}

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = static_cast<T>(before + value);
  return before;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = before | value;
  return before;
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = value;
  return before;
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's parameters are copied as bytes");
  static_assert((sizeof(Parameters) + ... + 0) <= emulator::kMostParameterBytes);
  return emulator::run(config->stream, reinterpret_cast<const void*>(kernel), config->gridDim, config->blockDim,
                       [kernel, values = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
                         std::apply(kernel, values);
                       });
}
