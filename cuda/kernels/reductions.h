// What reductions compute: where they begin, how two results become one, how a few elements become a result. Each is
// exact enough that the order, which depends on the shape and the device, shows only in the last bits.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <mnemo/core/dtype.h>
#include <mnemo/core/functors.h>

#include <cuda_runtime.h>

namespace mnemo::cuda {

/// A sum: in float64 or int64, like the CPU's.
template <class T>
struct Sum {
  static constexpr bool floating = std::is_floating_point_v<compute_type<T>>;
  using Element = T;
  using Partial = std::conditional_t<floating, double, std::int64_t>;
  using Result = std::conditional_t<floating, T, std::int64_t>;
  double scale;

  __device__ static Partial start() { return 0; }
  __device__ T neutral() const { return T{}; }
  __device__ static Partial join(Partial a, Partial b) { return functors::Add::forward(a, b); }
  __device__ static Partial exchange(Partial a, int mask) { return __shfl_xor_sync(0xffffffffu, a, mask); }

  /// N is a power of two.
  template <int N>
  __device__ Partial run(const T (&values)[N], std::int64_t, std::int64_t) const {
    if constexpr (sizeof(T) == 2) {  // few and short enough for float, unless they overflow
      const float sum = pairwise<float>(values);
      if (sum - sum == 0) return sum;
    }
    return pairwise<Partial>(values);
  }
  __device__ Result finish(Partial value) const {
    if (scale == 1) return cast<Result>(value);
    const double scaled = static_cast<double>(value) * scale;
    return cast<Result>(cast<Partial>(scaled));
  }

 private:
  template <class C, int N>
  __device__ static C pairwise(const T (&values)[N]) {
    C sums[N];
    for (int i = 0; i < N; ++i) sums[i] = cast<C>(values[i]);
    for (int half = N / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) sums[i] = functors::Add::forward(sums[i], sums[i + half]);
    }
    return sums[0];
  }
};

/// Turns the order around, exactly, if the smallest is wanted.
template <class T>
__device__ T mirrored(T value, bool smallest) {
  if constexpr (std::is_floating_point_v<T>)
    return smallest ? -value : value;
  else
    return smallest ? ~value : value;
}

/// What loses against every other element of type T, or only against those before it that are equal.
template <class T>
__device__ T least(bool smallest) {
  using C = compute_type<T>;
  if constexpr (std::is_floating_point_v<C>)
    return cast<T>(mirrored(-std::numeric_limits<C>::infinity(), smallest));
  else
    return smallest ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest();
}

/// The largest element (NaN wins), or the smallest: the largest of what mirrored() makes of them.
template <class T>
struct Extreme {
  static constexpr bool floating = std::is_floating_point_v<compute_type<T>>;
  using Element = T;
  using Partial = std::conditional_t<sizeof(T) == 1, std::int32_t, compute_type<T>>;
  using Result = T;
  double scale;
  bool smallest;

  __device__ static Partial start() {
    return floating ? -std::numeric_limits<Partial>::infinity() : std::numeric_limits<Partial>::lowest();
  }
  __device__ T neutral() const { return least<T>(smallest); }
  __device__ static Partial join(Partial a, Partial b) { return functors::Maximum::forward(a, b); }
  __device__ static Partial exchange(Partial a, int mask) { return __shfl_xor_sync(0xffffffffu, a, mask); }
  template <int N>
  __device__ Partial run(const T (&values)[N], std::int64_t, std::int64_t) const {
    Partial best = start();
    for (int i = 0; i < N; ++i) best = join(best, mirrored(cast<Partial>(values[i]), smallest));
    return best;
  }
  __device__ Result finish(Partial value) const {
    const Partial found = mirrored(value, smallest);
    return scale == 1 ? cast<T>(found) : cast<T>(cast<Partial>(static_cast<double>(found) * scale));
  }
};

/// Where the largest element lies, or the smallest, the first of equal ones; NaN is both.
template <class T>
struct ArgMax {
  static constexpr bool floating = std::is_floating_point_v<compute_type<T>>;
  using Element = T;
  using Value = std::conditional_t<sizeof(T) == 1, std::int32_t, compute_type<T>>;
  struct Partial {
    Value value;
    std::int64_t place;
  };
  using Result = std::int64_t;
  bool smallest;

  __device__ static Partial start() {
    return {floating ? -std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::lowest(),
            std::numeric_limits<std::int64_t>::max()};
  }
  /// Stands behind the last element, so that it loses against an equal one.
  __device__ T neutral() const { return least<T>(smallest); }
  __device__ static Partial join(Partial a, Partial b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool equal = a.value == b.value || (a_nan && b_nan);
    const bool second = equal ? b.place < a.place : b_nan || b.value > a.value;
    return second && !(a_nan && !b_nan) ? b : a;
  }
  __device__ static Partial exchange(Partial a, int mask) {
    return {__shfl_xor_sync(0xffffffffu, a.value, mask), __shfl_xor_sync(0xffffffffu, a.place, mask)};
  }
  template <int N>
  __device__ Partial run(const T (&values)[N], std::int64_t first, std::int64_t step) const {
    Partial best = start();
    for (int i = 0; i < N; ++i) best = join(best, {mirrored(cast<Value>(values[i]), smallest), first + i * step});
    return best;
  }
  __device__ Result finish(Partial value) const { return value.place; }
};

}  // namespace mnemo::cuda
