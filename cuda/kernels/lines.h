// Lines of (outer, size, inner) along the middle, each worked on by one thread, a warp or a block. Private.
#pragma once

#include <cmath>
#include <limits>

#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

struct Lines {
  std::int64_t outer = 1, size = 1, inner = 1;

  MNEMO_HOST_DEVICE std::int64_t count() const { return outer * inner; }
  /// Where a line begins; its elements lie `inner` apart.
  MNEMO_HOST_DEVICE std::int64_t begin(std::int64_t line) const {
    if (inner == 1) return line * size;
    const bool narrow = line <= INT32_MAX && inner <= INT32_MAX;
    const std::int64_t row =
        narrow ? static_cast<std::uint32_t>(line) / static_cast<std::uint32_t>(inner) : line / inner;
    return row * size * inner + (line - row * inner);
  }
};

/// body(line, where it begins, which thread of the kGroup this is) for every line, by all threads of a group at once;
/// groups do not diverge, so that they can join values.
template <int kGroup, class Body>
__device__ void for_each_line(const Lines& lines, const Body& body) {
  const int member = static_cast<int>(threadIdx.x) % kGroup;
  for (std::int64_t line = first_item() / kGroup; line < lines.count(); line += item_step() / kGroup)
    body(line, lines.begin(line), member);
}

/// Calls f(threads per line, elements per access, blocks, threads of a block), the first two as
/// std::integral_constant. One thread where neighbouring lines are neighbours in memory and many, or short; more where
/// lines are long, or few: as few as hold a line in registers, so that each has several packs on the way. E: of what is
/// read; `aligned`: packs can be moved where lines begin at whole ones.
template <class E, class F>
void with_group(const CudaBackend& backend, const Lines& lines, bool aligned, const F& f) {
  constexpr int kWide = sizeof(compute_type<E>) == 8 ? 1 : kPerVector<E>;
  const std::int64_t threads = std::int64_t{2048} * backend.multiprocessors();
  const auto start = [&](auto group, auto width) {
    constexpr int kGroup = decltype(group)::value, kBlock = kGroup > kWarp ? kGroup : kThreads;
    f(group, width, blocks_for(backend, lines.count() * kGroup, kBlock, 8), kBlock);
  };
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, kWide> wide;
  constexpr std::integral_constant<int, kWarp> warp;
  constexpr std::integral_constant<int, kThreads / 2> half_block;
  constexpr std::integral_constant<int, kThreads> block;
  const bool packs = kWide > 1 && aligned && lines.inner == 1 && lines.size % kWide == 0;
  const bool many = lines.count() * 8 >= threads;
  if (lines.size <= 4 || (lines.size <= 32 && many && !packs) || (lines.inner > 1 && (many || lines.size <= 32)))
    return start(one, one);
  if (packs && (lines.size <= 256 || (lines.size <= 1024 && many))) return start(warp, wide);
  if (packs && lines.size <= 4096) return start(half_block, wide);
  if (packs) return start(block, wide);
  if (lines.size <= 512) return start(warp, one);
  start(block, one);
}

/// What one thread of kGroup has of a line, in packs of `V` neighbours. The first stay in registers, so that a line
/// that is not too long is read once however often it is visited; all are under way together. `kCut`: elements from
/// number `counted` on are minus infinity, whatever is in memory.
template <class E, int kGroup, int V, bool kCut = false>
class Share {
 public:
  using T = compute_type<E>;

  __device__ Share(const Lines& lines, const E* line, int member, std::int64_t counted = 0)
      : inner_(lines.inner),
        step_(kStep * lines.inner),
        first_(static_cast<std::int64_t>(member) * V),
        counted_(counted),
        line_(line + first_ * inner_) {
    count_ = first_ < lines.size ? (lines.size - 1 - first_) / kStep + 1 : 0;
    held_count_ = static_cast<int>(count_ < kHeld ? count_ : kHeld);
    Raw<E, V> raws[kHeld];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (k < held_count_ && counts(k)) raws[k] = load_raw<V>(line_ + k * step_);
    }
#pragma unroll
    for (int k = 0; k < kHeld; ++k) take(raws[k], held_[k]), cut(held_[k], k);
  }
  /// body(the values of a pack, whether they stay): what it makes of those that stay is there in later visits; of those
  /// behind each visit finds what is in memory, and has kUnroll packs on the way.
  template <int kUnroll = 1, class Body>
  __device__ void visit(const Body& body) {
    each<kUnroll>([&](T(&values)[V], std::int64_t, bool stays) { body(values, stays); });
  }
  /// The same with the number of a pack's first element: body(the values of a pack, that number, whether they stay).
  template <class Body>
  __device__ void visit_numbered(const Body& body) {
    each<1>([&](T(&values)[V], std::int64_t k, bool stays) { body(values, first_ + k * kStep, stays); });
  }
  /// body(the values of a pack, those of the same pack of another line, number of the first)
  template <class Body>
  __device__ void visit(Share& other, const Body& body) {
    each(other, [&](T(&values)[V], T(&others)[V], std::int64_t k) { body(values, others, first_ + k * kStep); });
  }
  /// Writes what body(values, number of the first, whether they stayed) makes of them to the same places of the line at
  /// `to`.
  template <class Body>
  __device__ void write(E* to, const Body& body) {
    each<1>([&](T(&values)[V], std::int64_t k, bool stays) {
      body(values, first_ + k * kStep, stays);
      put(values, to, k);
    });
  }
  /// The same for body(values, those of the same pack of another line, number of the first).
  template <class Body>
  __device__ void write(Share& other, E* to, const Body& body) {
    each(other, [&](T(&values)[V], T(&others)[V], std::int64_t k) {
      body(values, others, first_ + k * kStep);
      put(values, to, k);
    });
  }

 private:
  static constexpr int kHeld = sizeof(T) == 8 ? 2 : V == 1 ? 8 : 32 / V;
  static constexpr std::int64_t kStep = std::int64_t{kGroup} * V;

  static __device__ void take(const Raw<E, V>& raw, T (&values)[V]) {
#pragma unroll
    for (int j = 0; j < V; ++j) values[j] = value_of<E, V>(raw, j);
  }
  /// Whether any element of pack `k` counts.
  __device__ bool counts(std::int64_t k) const { return !kCut || first_ + k * kStep < counted_; }
  __device__ void cut(T (&values)[V], std::int64_t k) const {
    if constexpr (kCut) {
#pragma unroll
      for (int j = 0; j < V; ++j) {
        if (first_ + k * kStep + j >= counted_) values[j] = -std::numeric_limits<T>::infinity();
      }
    }
  }
  /// Pack `k` of this thread to the line at `to`.
  __device__ void put(const T (&values)[V], E* to, std::int64_t k) const {
    Pack<E, V> results;
#pragma unroll
    for (int j = 0; j < V; ++j) results.values[j] = cast<E>(values[j]);
    store(results, to + first_ * inner_ + k * step_);
  }
  /// body(values, number of the pack, whether they stay)
  template <int kUnroll, class Body>
  __device__ void each(const Body& body) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (k < held_count_) body(held_[k], k, true);
    }
#pragma unroll kUnroll
    for (std::int64_t k = kHeld; k < count_; ++k) {
      T values[V];
      Raw<E, V> raw;
      if (counts(k)) raw = load_raw<V>(line_ + k * step_);
      take(raw, values), cut(values, k);
      body(values, k, false);
    }
  }
  template <class Body>
  __device__ void each(Share& other, const Body& body) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (k < held_count_) body(held_[k], other.held_[k], k);
    }
#pragma unroll 1
    for (std::int64_t k = kHeld; k < count_; ++k) {
      T values[V], others[V];
      take(load_raw<V>(line_ + k * step_), values), take(load_raw<V>(other.line_ + k * step_), others);
      body(values, others, k);
    }
  }

  std::int64_t inner_, step_;  ///< from element to element, from pack to pack of a thread
  std::int64_t first_;         ///< number of the first element
  std::int64_t counted_;       ///< with kCut
  const E* line_;              ///< there
  std::int64_t count_;         ///< packs
  int held_count_;             ///< of which so many are held
  T held_[kHeld][V];
};

/// exp(x) of a distance from the largest element. Of half types it is off by no more than 2^-18 of itself where it
/// counts at all: a power of 2 in one instruction, of which 0 is exactly 1 too.
template <class E>
__device__ compute_type<E> exponential(compute_type<E> x) {
  if constexpr (sizeof(E) == 2) {
    const float power = x * 1.44269504F;
#ifdef __CUDA_ARCH__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(power));
    return result;
#else
    return std::exp2(power);
#endif
  } else {
    return std::exp(x);
  }
}

/// The largest element of a line, and the sum of exponentials relative to it.
template <class E>
struct Normalizer {
  using T = compute_type<E>;
  T top = -std::numeric_limits<T>::infinity();
  double sum = 0;

  /// Leaves in place of the elements that stay what result(distance from the top, its exponential) is. `all_digits`:
  /// log_sum() is asked for.
  template <int kGroup, int V, bool kCut, class Result>
  __device__ Normalizer(Share<E, kGroup, V, kCut>& share, bool all_digits, const Result& result) {
    share.template visit<2>([&](const T(&values)[V], bool) {
#pragma unroll
      for (int j = 0; j < V; ++j) top = std::fmax(top, values[j]);  // passes over NaN
    });
    top = group_join<kGroup, Larger>(top, -std::numeric_limits<T>::infinity());
    int ones = 0;
    share.visit([&](T(&values)[V], bool stays) {
      T rest = 0;
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const T distance = values[j] - top, power = exponential<E>(distance);
        if (stays) values[j] = result(distance, power);
        if constexpr (sizeof(E) == 2) {  // conversions to double are slow: one for a pack
          const bool one = all_digits && power == T{1};
          ones += one ? 1 : 0, rest += one ? T{0} : power;
        } else {
          sum += static_cast<double>(power);
        }
      }
      if constexpr (sizeof(E) == 2) sum += static_cast<double>(rest);
    });
    sum = group_join<kGroup, Plus>(sum + ones, 0.0);
  }

  /// The logarithm of `sum`. Of the sum the largest element is exactly 1: what the others add keeps its digits in T,
  /// however little it is, and only float64 pays for a logarithm in float64.
  __device__ T log_sum() const { return std::log1p(static_cast<T>(sum - 1)); }
  /// 1 / sum
  __device__ T share_of_one() const { return T{1} / static_cast<T>(sum); }
};

}  // namespace mnemo::cuda
