// Where element i of arrays of one shape lies: arrays merged into as few dimensions as their strides allow, in the
// order of the first one's memory.
#pragma once

#include <array>
#include <cstdint>

#include <mnemo/core/array.h>

namespace mnemo::cuda {

/// N arrays of the same shape; passed to kernels by value. The last dimension is the innermost.
template <int N>
struct Index {
  std::int64_t count = 1;
  int rank = 0;
  std::int64_t sizes[kMaxRank];
  std::int64_t strides[kMaxRank][N];

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
    for (int d = rank - 1; d >= 0; --d) {
      std::int64_t at = i;
      if (d > 0) {
        // 32-bit division is several times as fast.
        const bool narrow = i <= INT32_MAX && sizes[d] <= INT32_MAX;
        const std::int64_t rest =
            narrow ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(sizes[d]) : i / sizes[d];
        at = i - rest * sizes[d];
        i = rest;
      }
      for (int n = 0; n < N; ++n) out[n] += at * strides[d][n];
    }
  }

 private:
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
