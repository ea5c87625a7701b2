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

/// Calls f(threads per line, elements per access, blocks), the first two as std::integral_constant. One thread where
/// neighbouring lines are neighbours in memory and many, or short; more where lines are long, or few. E: of what is
/// read; `aligned`: packs can be moved where lines begin at whole ones.
template <class E, class F>
void with_group(const CudaBackend& backend, const Lines& lines, bool aligned, const F& f) {
  constexpr int kWide = sizeof(compute_type<E>) == 8 ? 1 : kPerVector<E>;
  const std::int64_t threads = std::int64_t{2048} * backend.multiprocessors();
  const auto start = [&](auto group, auto width) {
    f(group, width, blocks_for(backend, lines.count() * decltype(group)::value, kThreads, 8));
  };
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, kWide> wide;
  constexpr std::integral_constant<int, kWarp> warp;
  constexpr std::integral_constant<int, kThreads> block;
  const bool packs = kWide > 1 && aligned && lines.inner == 1 && lines.size % kWide == 0;
  const bool many = lines.count() * 8 >= threads;
  if (lines.size <= 4 || (lines.size <= 32 && many && !packs) || (lines.inner > 1 && (many || lines.size <= 32)))
    return start(one, one);
  if (packs && (lines.size <= 256 || (lines.size <= 1024 && many))) return start(warp, wide);
  if (packs) return start(block, wide);
  if (lines.size <= 512) return start(warp, one);
  start(block, one);
}

/// What one thread of kGroup has of a line, in packs of `V` neighbours. The first stay in registers, so that a line
/// that is not too long is read once however often it is visited; all are under way together.
template <class E, int kGroup, int V>
class Share {
 public:
  using T = compute_type<E>;

  __device__ Share(const Lines& lines, const E* line, int member)
      : line_(line), size_(lines.size), inner_(lines.inner), first_(member * V) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = first_ + k * kStep;
      if (i < size_) held_[k] = at(i);
    }
  }
  /// body(number of the element, its value)
  template <class Body>
  __device__ void visit(const Body& body) const {
    each([&](std::int64_t i, const Pack<E, V>& pack) {
#pragma unroll
      for (int j = 0; j < V; ++j) body(i + j, cast<T>(pack.values[j]));
    });
  }
  /// body(number of the element, its value, that of the same element of another line)
  template <class Body>
  __device__ void visit(const Share& other, const Body& body) const {
    each(other, [&](std::int64_t i, const Pack<E, V>& pack, const Pack<E, V>& of_other) {
#pragma unroll
      for (int j = 0; j < V; ++j) body(i + j, cast<T>(pack.values[j]), cast<T>(of_other.values[j]));
    });
  }
  /// Writes value(number of the element, its value) to the same places of the line at `to`.
  template <class Value>
  __device__ void write(E* to, const Value& value) const {
    each([&](std::int64_t i, const Pack<E, V>& pack) {
      Pack<E, V> results;
#pragma unroll
      for (int j = 0; j < V; ++j) results.values[j] = cast<E>(static_cast<T>(value(i + j, cast<T>(pack.values[j]))));
      store(results, to + i * inner_);
    });
  }
  /// The same for value(number of the element, its value, that of the same element of another line).
  template <class Value>
  __device__ void write(const Share& other, E* to, const Value& value) const {
    each(other, [&](std::int64_t i, const Pack<E, V>& pack, const Pack<E, V>& of_other) {
      Pack<E, V> results;
#pragma unroll
      for (int j = 0; j < V; ++j) {
        results.values[j] = cast<E>(static_cast<T>(value(i + j, cast<T>(pack.values[j]), cast<T>(of_other.values[j]))));
      }
      store(results, to + i * inner_);
    });
  }

 private:
  static constexpr int kHeld = sizeof(T) == 8 ? 2 : V == 1 ? 8 : 32 / V;
  static constexpr std::int64_t kStep = std::int64_t{kGroup} * V;

  __device__ Pack<E, V> at(std::int64_t i) const { return load<V>(line_ + i * inner_); }
  template <class Body>
  __device__ void each(const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = first_ + k * kStep;
      if (i < size_) body(i, held_[k]);
    }
    for (std::int64_t i = first_ + kHeld * kStep; i < size_; i += kStep) body(i, at(i));
  }
  template <class Body>
  __device__ void each(const Share& other, const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = first_ + k * kStep;
      if (i < size_) body(i, held_[k], other.held_[k]);
    }
    for (std::int64_t i = first_ + kHeld * kStep; i < size_; i += kStep) body(i, at(i), other.at(i));
  }

  const E* line_;
  std::int64_t size_, inner_;
  std::int64_t first_;
  Pack<E, V> held_[kHeld] = {};
};

/// The largest element of a line, and the sum of exponentials relative to it.
template <class T>
struct Normalizer {
  T top = -std::numeric_limits<T>::infinity();
  double sum = 0;

  template <class E, int kGroup, int V>
  __device__ explicit Normalizer(const Share<E, kGroup, V>& share) {
    share.visit([&](std::int64_t, T value) { top = Larger::join(top, value); });
    top = group_join<kGroup, Larger>(top, -std::numeric_limits<T>::infinity());
    share.visit([&](std::int64_t, T value) { sum += static_cast<double>(std::exp(value - top)); });
    sum = group_join<kGroup, Plus>(sum, 0.0);
  }
  /// The logarithm of `sum`. Of the sum the largest element is exactly 1: what the others add keeps its digits in T,
  /// however little it is, and only float64 pays for a logarithm in float64.
  __device__ T log_sum() const { return std::log1p(static_cast<T>(sum - 1)); }
  /// 1 / sum
  __device__ T share_of_one() const { return T{1} / static_cast<T>(sum); }
};

}  // namespace mnemo::cuda
