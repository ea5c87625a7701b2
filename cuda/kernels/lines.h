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

/// Calls f(std::integral_constant of the threads per line, blocks): one where neighbouring lines are neighbours in
/// memory and many, or short; more where lines are long, or few.
template <class F>
void with_group(const CudaBackend& backend, const Lines& lines, const F& f) {
  const std::int64_t threads = std::int64_t{2048} * backend.multiprocessors();
  const auto start = [&](auto group) {
    f(group, blocks_for(backend, lines.count() * decltype(group)::value, kThreads, 8));
  };
  if (lines.size <= 4 || (lines.inner > 1 && (lines.count() * 8 >= threads || lines.size <= 32)))
    start(std::integral_constant<int, 1>{});
  else if (lines.size <= 512)
    start(std::integral_constant<int, kWarp>{});
  else
    start(std::integral_constant<int, kThreads>{});
}

/// What one thread of kGroup has of a line. The first elements stay in registers, so that a line that is not too long
/// is read once however often it is visited; all are under way together.
template <class E, int kGroup>
class Share {
 public:
  using T = compute_type<E>;

  __device__ Share(const Lines& lines, const E* line, int member)
      : line_(line), size_(lines.size), inner_(lines.inner), member_(member) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = member + k * kGroup;
      if (i < size_) held_[k] = cast<T>(line[i * inner_]);
    }
  }
  /// body(number of the element, its value)
  template <class Body>
  __device__ void visit(const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = member_ + k * kGroup;
      if (i < size_) body(i, held_[k]);
    }
    for (std::int64_t i = member_ + kHeld * kGroup; i < size_; i += kGroup) body(i, cast<T>(line_[i * inner_]));
  }
  /// body(number of the element, its value, that of the same element of another line)
  template <class Body>
  __device__ void visit(const Share& other, const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t i = member_ + k * kGroup;
      if (i < size_) body(i, held_[k], other.held_[k]);
    }
    for (std::int64_t i = member_ + kHeld * kGroup; i < size_; i += kGroup)
      body(i, cast<T>(line_[i * inner_]), cast<T>(other.line_[i * inner_]));
  }

 private:
  static constexpr int kHeld = sizeof(T) == 8 ? 2 : 8;
  const E* line_;
  std::int64_t size_, inner_;
  int member_;
  T held_[kHeld] = {};
};

/// The largest element of a line, and the sum of exponentials relative to it.
template <class T>
struct Normalizer {
  T top = -std::numeric_limits<T>::infinity();
  double sum = 0;

  template <class E, int kGroup>
  __device__ explicit Normalizer(const Share<E, kGroup>& share) {
    share.visit([&](std::int64_t, T value) { top = Larger::join(top, value); });
    top = group_join<kGroup, Larger>(top, -std::numeric_limits<T>::infinity());
    share.visit([&](std::int64_t, T value) { sum += static_cast<double>(std::exp(value - top)); });
    sum = group_join<kGroup, Plus>(sum, 0.0);
  }
};

}  // namespace mnemo::cuda
