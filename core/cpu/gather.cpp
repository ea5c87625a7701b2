#include <cassert>
#include <cstring>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/threads.h>
#include <mnemo/core/visit_bytes.h>

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

/// Where the numbers of an index lie: row-major like the elements, or one for all elements of (j).
struct Numbers {
  const std::int64_t* data;
  bool of_rows;

  explicit Numbers(const Array& index) : data(index.data<std::int64_t>()), of_rows(!index.is_contiguous()) {}
  /// Those of (i, j, 0) and on: `step` apart.
  const std::int64_t* at(std::int64_t i, std::int64_t j, const AxisSizes& sizes) const {
    return of_rows ? data + j : data + (i * sizes.size + j) * sizes.inner;
  }
  std::int64_t step() const { return of_rows ? 0 : 1; }
};

/// Only the size of an element matters when it is moved. T: an unsigned integer of that size.
template <class T>
void gather_elements(const AxisSizes& from, const AxisSizes& to, const std::byte* x, const Numbers& numbers,
                     std::byte* out) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t rows = to.outer * to.size, row_bytes = to.inner * kBytes;
  parallel_for(rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, to.inner)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t row = begin; row < end; ++row) {
                   const std::int64_t i = row / to.size, j = row % to.size;
                   const std::byte* block = x + i * from.size * row_bytes;
                   const std::int64_t* places = numbers.at(i, j, to);
                   std::byte* target = out + row * row_bytes;
                   if (numbers.of_rows) {
                     assert(*places >= 0 && *places < from.size);
                     std::memcpy(target, block + *places * row_bytes, static_cast<std::size_t>(row_bytes));
                     continue;
                   }
                   for (std::int64_t k = 0; k < to.inner; ++k) {
                     assert(places[k] >= 0 && places[k] < from.size);
                     std::memcpy(target + k * kBytes, block + (places[k] * from.inner + k) * kBytes, sizeof(T));
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
  const Numbers places(index);
  visit_bytes(x.dtype(), [&](auto zero) { gather_elements<decltype(zero)>(from, to, source, places, target); });
}

void CpuBackend::scatter_add(const Array& x, int axis, const Array& index, const Array& out) {
  const AxisSizes from(index.shape(), axis), to(out.shape(), axis);
  const Numbers numbers(index);
  // A thread owns columns, never places along the axis: so additions to one place happen in order.
  const std::int64_t columns = numbers.of_rows ? 64 : 16, blocks = (from.inner + columns - 1) / columns;
  const std::int64_t grain = std::max<std::int64_t>(1, 8192 / (columns * std::max<std::int64_t>(1, from.size)));
  visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* all_values = x.data<T>();
    T* all_sums = out.data<T>();
    parallel_for(from.outer * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t i = task / blocks, first = task % blocks * columns;
        const std::int64_t count = std::min(columns, from.inner - first);
        for (std::int64_t j = 0; j < from.size; ++j) {
          const std::int64_t* places = numbers.at(i, j, from) + first * numbers.step();
          const T* values = all_values + (i * from.size + j) * from.inner + first;
          T* sums = all_sums + i * to.size * to.inner + first;
          if (numbers.of_rows) {
            assert(*places >= 0 && *places < to.size);
            T* const row = sums + *places * to.inner;
            for (std::int64_t k = 0; k < count; ++k) row[k] = sum_of(row[k], values[k]);
            continue;
          }
          for (std::int64_t k = 0; k < count; ++k) {
            assert(places[k] >= 0 && places[k] < to.size);
            T& sum = sums[places[k] * to.inner + k];
            sum = sum_of(sum, values[k]);
          }
        }
      }
    });
  });
}

}  // namespace mnemo::cpu
