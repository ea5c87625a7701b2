// How element-wise loops visit memory: arrays of one shape, merged into as few dimensions as their strides allow,
// visited in the order of the output's memory, run by run.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <mnemo/core/array.h>

namespace mnemo::cpu {

/// The merged iteration space of N arrays of the same shape. The last dimension is the innermost.
template <std::size_t N>
class Walk {
 public:
  /// `arrays[0]` leads: dimensions are ordered by its strides. REQUIRES: equal shapes.
  explicit Walk(const std::array<const Array*, N>& arrays) : count_(arrays[0]->numel()) {
    const Layout& lead = arrays[0]->layout();
    std::array<int, kMaxRank> order{};
    const int axes = lead.axes_by_stride(order);
    for (int i = 0; i < axes; ++i) {
      const int axis = order[static_cast<std::size_t>(i)];
      std::array<std::int64_t, N> strides{};
      for (std::size_t n = 0; n < N; ++n) strides[n] = arrays[n]->strides()[axis];
      add_dimension(lead.shape[axis], strides);
    }
    if (rank_ == 0) add_dimension(1, {});
    for (std::size_t n = 0; n < N; ++n) base_[n] = arrays[n]->layout().offset;
  }

  std::int64_t count() const { return count_; }
  int rank() const { return rank_; }
  std::int64_t size(int dimension) const { return sizes_[static_cast<std::size_t>(dimension)]; }
  const std::array<std::int64_t, N>& strides(int dimension) const {
    return strides_[static_cast<std::size_t>(dimension)];
  }
  /// Of the first element of each array.
  const std::array<std::int64_t, N>& base() const { return base_; }

  /// Calls `run(offsets, strides, length)` for elements [begin, end) of the iteration order; offsets and strides in
  /// elements.
  template <class Run>
  void visit(std::int64_t begin, std::int64_t end, const Run& run) const {
    if (begin >= end) return;
    std::array<std::int64_t, kMaxRank> index{};
    std::array<std::int64_t, N> offsets = base_;
    std::int64_t rest = begin;
    for (int d = rank_ - 1; d >= 0; --d) {
      const auto at = static_cast<std::size_t>(d);
      index[at] = rest % sizes_[at];
      rest /= sizes_[at];
      for (std::size_t n = 0; n < N; ++n) offsets[n] += index[at] * strides_[at][n];
    }
    const auto inner = static_cast<std::size_t>(rank_ - 1);
    while (true) {
      const std::int64_t length = std::min(end - begin, sizes_[inner] - index[inner]);
      run(offsets, strides_[inner], length);
      begin += length;
      if (begin >= end) return;
      for (std::size_t n = 0; n < N; ++n) offsets[n] -= index[inner] * strides_[inner][n];
      index[inner] = 0;
      for (int d = rank_ - 2; d >= 0; --d) {
        const auto at = static_cast<std::size_t>(d);
        for (std::size_t n = 0; n < N; ++n) offsets[n] += strides_[at][n];
        if (++index[at] < sizes_[at]) break;
        for (std::size_t n = 0; n < N; ++n) offsets[n] -= sizes_[at] * strides_[at][n];
        index[at] = 0;
      }
    }
  }

 private:
  void add_dimension(std::int64_t size, const std::array<std::int64_t, N>& strides) {
    if (rank_ > 0) {
      const auto outer = static_cast<std::size_t>(rank_ - 1);
      bool mergeable = true;
      for (std::size_t n = 0; n < N; ++n) mergeable = mergeable && strides_[outer][n] == size * strides[n];
      if (mergeable) {
        sizes_[outer] *= size;
        strides_[outer] = strides;
        return;
      }
    }
    sizes_[static_cast<std::size_t>(rank_)] = size;
    strides_[static_cast<std::size_t>(rank_++)] = strides;
  }

  std::int64_t count_;
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> sizes_{};
  std::array<std::array<std::int64_t, N>, kMaxRank> strides_{};
  std::array<std::int64_t, N> base_{};
};

}  // namespace mnemo::cpu
