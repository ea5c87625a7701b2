// Many arrays in one launch: a table of them travels in the kernel's parameters, and each block works on a piece of one
// array. Private: includes CUDA's headers.
#pragma once

#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

/// The first element, whatever its type.
inline void* address(const Array& array) {
  return array.defined() ? array.storage()->data() + array.layout().offset * size_of(array.dtype()) : nullptr;
}

/// A table of at most `N` entries for one launch; array i belongs to blocks begins[i] .. begins[i + 1] - 1.
template <class Entry, int N>
struct Slots {
  std::int64_t piece = 0;  ///< elements of a block's work
  int count = 0;
  std::int32_t begins[N + 1] = {0};
  Entry entries[N];

  bool is_full() const { return count == N; }
  /// An array without elements gets a block too.
  void add(const Entry& entry, std::int64_t elements) {
    entries[count] = entry;
    begins[count + 1] =
        begins[count] + static_cast<std::int32_t>(std::max<std::int64_t>(1, (elements + piece - 1) / piece));
    ++count;
  }
  unsigned blocks() const { return static_cast<unsigned>(begins[count]); }

  /// The array that a block works on.
  __device__ int find(int block) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (begins[middle] <= block ? low : high) = middle;
    }
    return low;
  }
};

/// Elements of a piece, a multiple of `unit`: small enough that all of `total` keeps the device busy for some rounds,
/// large enough that a block's beginning does not matter.
inline std::int64_t piece_for(const CudaBackend& backend, std::int64_t total, std::int64_t unit) {
  const std::int64_t wanted = total / (std::int64_t{32} * backend.multiprocessors()) / unit * unit;
  return std::clamp(wanted, unit, 32 * unit);
}

/// Elements [begin, end) of an array: the piece of this block.
struct Piece {
  std::int64_t begin, end;

  __device__ Piece(std::int64_t piece, int number, std::int64_t count)
      : begin(piece * number), end(begin + piece < count ? begin + piece : count) {}
};

}  // namespace mnemo::cuda
