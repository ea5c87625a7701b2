// The part of the emulation that kernels see: their keywords, indices, barriers, shuffles and atomics. A kernel's
// threads are fibers of one host thread. A fiber runs until it meets a barrier; the others follow in order, or from
// the last to the first if MNEMO_EMULATOR_ORDER is "reverse": a missing barrier gives another result then.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
// One block runs at a time, so its shared memory is a static variable; that it is the host thread's own tells it from
// other variables, which a kernel may not touch.
#define __shared__ static thread_local
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

namespace emulator {

inline constexpr std::size_t kMostParameterBytes = 4096;

struct Registers {
  uint3 thread, block;
  dim3 threads, blocks;
};
inline Registers registers;

/// A kernel with what it is called with.
struct Call {
  const void* kernel;
  std::shared_ptr<const void> parameters;
  std::size_t bytes;
  void (*start)(const void* parameters);
};
/// Runs a grid; returns what the runtime would.
cudaError_t run(cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared_bytes, Call call);

/// Lists a kernel that is started, like list_work.
void list_launch(const void* kernel, dim3 grid, dim3 block);

void wait_for_block();
bool any_of_block(bool value);
void fence();
/// The lanes of `mask` wait for each other. What they call is an `operation`, for all the same.
enum class WarpOperation { wait, shuffle, vote };
void wait_for_warp(unsigned mask);
/// Every lane gives `value` and gets that of lane `from`.
void exchange(unsigned mask, void* value, std::size_t bytes, int from);
unsigned ballot(unsigned mask, bool value);
int lane();
/// Says that a kernel changes something atomically.
void touch_atomically(void* at, std::size_t bytes);

template <class T>
T exchange(unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  exchange(mask, &value, sizeof value, from);
  return value;
}

}  // namespace emulator

inline const uint3& threadIdx = emulator::registers.thread;
inline const uint3& blockIdx = emulator::registers.block;
inline const dim3& blockDim = emulator::registers.threads;
inline const dim3& gridDim = emulator::registers.blocks;
inline constexpr int warpSize = 32;

inline void __syncthreads() { emulator::wait_for_block(); }
inline int __syncthreads_or(int predicate) { return emulator::any_of_block(predicate != 0); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::wait_for_warp(mask); }
inline void __threadfence() { emulator::fence(); }

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return emulator::exchange(mask, value, emulator::lane() / width * width + from % width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), from = lane + static_cast<int>(delta);
  return emulator::exchange(mask, value, from / width == lane / width ? from : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), from = lane - static_cast<int>(delta);
  return emulator::exchange(mask, value, from >= lane / width * width ? from : lane);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int lane = emulator::lane(), from = lane ^ lanes;
  return emulator::exchange(mask, value, from / width == lane / width ? from : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) { return emulator::ballot(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
// Announced as atomic; that they read and write is not announced once more.
#define MNEMO_ATOMIC __attribute__((no_sanitize("thread")))

template <class T>
MNEMO_ATOMIC T atomicAdd(T* at, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
  const T before = *at;
  *at = static_cast<T>(before + value);
  return before;
}
template <class T>
MNEMO_ATOMIC T atomicMax(T* at, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
  const T before = *at;
  if (value > before) *at = value;
  return before;
}
template <class T>
MNEMO_ATOMIC T atomicMin(T* at, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
  const T before = *at;
  if (value < before) *at = value;
  return before;
}
template <class T>
MNEMO_ATOMIC T atomicOr(T* at, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
  const T before = *at;
  *at = before | value;
  return before;
}
template <class T>
MNEMO_ATOMIC T atomicExch(T* at, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
  const T before = *at;
  *at = value;
  return before;
}
template <class T>
MNEMO_ATOMIC T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  emulator::touch_atomically(at, sizeof(T));
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
  struct Launch {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> values;
  };
  return emulator::run(config->stream, config->gridDim, config->blockDim, config->dynamicSmemBytes,
                       {reinterpret_cast<const void*>(kernel),
                        std::make_shared<const Launch>(Launch{kernel, {std::forward<Arguments>(arguments)...}}),
                        sizeof(Launch), [](const void* parameters) {
                          const auto& launch = *static_cast<const Launch*>(parameters);
                          std::apply(launch.kernel, launch.values);
                        }});
}
