#include <cassert>
#include <cstring>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// (outer, size, inner) around an axis.
struct AxisSizes {
  std::int64_t outer = 1, size = 1, inner = 1;

  AxisSizes(const Shape& shape, int axis) : size(shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
};

/// Only the size of an element matters when it is moved. T: an unsigned integer of that size.
template <class T>
void gather_elements(const AxisSizes& from, const AxisSizes& to, const std::byte* x, const std::int64_t* index,
                     std::byte* out) {
  const std::int64_t rows = to.outer * to.size;
  parallel_for(
      rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, to.inner)),
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
          const std::byte* block = x + row / to.size * from.size * from.inner * static_cast<std::int64_t>(sizeof(T));
          for (std::int64_t k = 0; k < to.inner; ++k) {
            const std::int64_t at = row * to.inner + k;
            assert(index[at] >= 0 && index[at] < from.size);
            std::memcpy(out + at * static_cast<std::int64_t>(sizeof(T)),
                        block + (index[at] * from.inner + k) * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
          }
        }
      });
}

/// Integers wrap around; booleans are or-ed.
template <class T>
T sum_of(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  } else {
    return cast<T>(static_cast<compute_type<T>>(cast<compute_type<T>>(a) + cast<compute_type<T>>(b)));
  }
}

}  // namespace

void CpuBackend::gather(const Array& x, int axis, const Array& index, const Array& out) {
  const AxisSizes from(x.shape(), axis), to(index.shape(), axis);
  const int bytes = size_of(x.dtype());
  const std::byte* source = x.storage()->data() + x.layout().offset * bytes;
  std::byte* target = out.storage()->data() + out.layout().offset * bytes;
  const std::int64_t* places = index.data<std::int64_t>();
  switch (bytes) {
    case 1:
      return gather_elements<std::uint8_t>(from, to, source, places, target);
    case 2:
      return gather_elements<std::uint16_t>(from, to, source, places, target);
    case 4:
      return gather_elements<std::uint32_t>(from, to, source, places, target);
    default:
      return gather_elements<std::uint64_t>(from, to, source, places, target);
  }
}

void CpuBackend::scatter_add(const Array& x, int axis, const Array& index, const Array& out) {
  const AxisSizes from(index.shape(), axis), to(out.shape(), axis);
  const std::int64_t* places = index.data<std::int64_t>();
  // A thread owns columns, never places along the axis: so additions to one place happen in order.
  constexpr std::int64_t kColumns = 16;
  const std::int64_t blocks = (from.inner + kColumns - 1) / kColumns;
  const std::int64_t grain = std::max<std::int64_t>(1, 8192 / (kColumns * std::max<std::int64_t>(1, from.size)));
  visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* values = x.data<T>();
    T* sums = out.data<T>();
    parallel_for(from.outer * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t i = task / blocks, first = task % blocks * kColumns;
        const std::int64_t last = std::min(from.inner, first + kColumns);
        for (std::int64_t j = 0; j < from.size; ++j) {
          for (std::int64_t k = first; k < last; ++k) {
            const std::int64_t at = (i * from.size + j) * from.inner + k;
            assert(places[at] >= 0 && places[at] < to.size);
            T& sum = sums[(i * to.size + places[at]) * to.inner + k];
            sum = sum_of(sum, values[at]);
          }
        }
      }
    });
  });
}

}  // namespace mnemo::cpu
