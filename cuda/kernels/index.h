// Where element i of arrays of one shape lies: arrays merged into as few dimensions as their strides allow, in the
// order of the first one's memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <mnemo/core/array.h>

namespace mnemo::cuda {

/// Division by a number known beforehand: a multiplication and a shift (Granlund, Montgomery: Division by invariant
/// integers using multiplication. PLDI 1994). REQUIRES: dividend and divisor below 2^31.
struct Divisor {
  std::uint32_t multiplier = 1, shift = 0;

  Divisor() = default;
  explicit Divisor(std::int64_t divisor) {
    while ((std::int64_t{1} << shift) < divisor) ++shift;
    const auto rest = static_cast<std::uint64_t>((std::int64_t{1} << shift) - divisor);
    multiplier = static_cast<std::uint32_t>((rest << 32) / static_cast<std::uint64_t>(divisor) + 1);
  }
  MNEMO_HOST_DEVICE std::uint32_t quotient(std::uint32_t dividend) const {
    const auto high = static_cast<std::uint32_t>((static_cast<std::uint64_t>(dividend) * multiplier) >> 32);
    return (high + dividend) >> shift;
  }
};

/// a / b for numbers of any size. Not inlined: it is long, and seldom run.
[[gnu::noinline]] MNEMO_HOST_DEVICE inline std::int64_t quotient_of(std::int64_t a, std::int64_t b) { return a / b; }

/// N arrays of the same shape; passed to kernels by value. The last dimension is the innermost.
template <int N>
struct Index {
  std::int64_t count = 1;
  int rank = 0;
  std::int64_t sizes[kMaxRank];
  std::int64_t strides[kMaxRank][N];
  Divisor divisors[kMaxRank];

  /// `arrays[0]` leads: dimensions are ordered by its strides. Offsets begin at each array's first element.
  /// REQUIRES: equal shapes.
  explicit Index(const std::array<const Array*, N>& arrays) : count(arrays[0]->numel()) {
    const Layout& lead = arrays[0]->layout();
    std::array<int, kMaxRank> order{};
    const int axes = lead.axes_by_stride(order);
    for (int i = 0; i < axes; ++i) {
      const int axis = order[static_cast<std::size_t>(i)];
      add(lead.shape[axis], axis, arrays);
    }
    prepare();
  }

  /// Makes runs of `width` neighbours along the innermost dimension the items: `count` and `offsets` count those.
  /// REQUIRES: rank > 0; the innermost size is a multiple of width, or rank is 1 (then a last shorter run is an item
  /// too).
  void group(int width) {
    const int inner = rank - 1;
    sizes[inner] = (sizes[inner] + width - 1) / width;
    for (int n = 0; n < N; ++n) strides[inner][n] *= width;
    count = 1;
    for (int d = 0; d < rank; ++d) count *= sizes[d];
    prepare();
  }

  /// Leaves dimension `d` out: its index stays 0.
  void remove(int d) {
    --rank;
    for (int i = d; i < rank; ++i) {
      sizes[i] = sizes[i + 1];
      for (int n = 0; n < N; ++n) strides[i][n] = strides[i + 1][n];
    }
    count = 1;
    for (int i = 0; i < rank; ++i) count *= sizes[i];
    prepare();
  }

  /// Every array lies without gaps in the same order: element i is i behind the first in each.
  bool is_flat() const {
    bool flat = rank <= 1;
    for (int n = 0; n < N && rank == 1; ++n) flat = flat && strides[0][n] == 1;
    return flat;
  }

  /// The places of element `i` in each array, counted from its first element.
  MNEMO_HOST_DEVICE void offsets(std::int64_t i, std::int64_t (&out)[N]) const {
    for (int n = 0; n < N; ++n) out[n] = 0;
    if (count <= INT32_MAX) {
      auto rest = static_cast<std::uint32_t>(i);
      for (int d = rank - 1; d > 0; --d) {
        const std::uint32_t next = divisors[d].quotient(rest);
        const std::uint32_t at = rest - next * static_cast<std::uint32_t>(sizes[d]);
        for (int n = 0; n < N; ++n) out[n] += at * strides[d][n];
        rest = next;
      }
      if (rank > 0) {
        for (int n = 0; n < N; ++n) out[n] += rest * strides[0][n];
      }
      return;
    }
    for (int d = rank - 1; d > 0; --d) {
      const std::int64_t next = quotient_of(i, sizes[d]);
      for (int n = 0; n < N; ++n) out[n] += (i - next * sizes[d]) * strides[d][n];
      i = next;
    }
    for (int n = 0; n < N; ++n) out[n] += i * strides[0][n];
  }

 private:
  void prepare() {
    for (int d = 0; d < rank && count > 0 && count <= INT32_MAX; ++d)
      divisors[d] = Divisor(std::max<std::int64_t>(1, sizes[d]));
  }
  void add(std::int64_t size, int axis, const std::array<const Array*, N>& arrays) {
    bool mergeable = rank > 0;
    for (int n = 0; n < N && mergeable; ++n)
      mergeable = strides[rank - 1][n] == size * arrays[static_cast<std::size_t>(n)]->strides()[axis];
    if (mergeable) {
      sizes[rank - 1] *= size;
    } else {
      sizes[rank++] = size;
    }
    for (int n = 0; n < N; ++n) strides[rank - 1][n] = arrays[static_cast<std::size_t>(n)]->strides()[axis];
  }
};

}  // namespace mnemo::cuda
