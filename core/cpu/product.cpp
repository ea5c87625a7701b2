#include <mnemo/core/cpu/product.h>

#include <cstring>

namespace mnemo::cpu {

namespace {

// Two such buffers would be needed for float and double if they were typed; a thread uses one tile at a time.
constexpr std::int64_t kLeftBytes = kTileRows * kTileDepth * 8;
constexpr std::int64_t kRightBytes = kTileColumns<double> * kTileDepth * 8;
constexpr std::int64_t kSumBytes = kTileRows * kTileColumns<double> * 8;
static_assert(kTileColumns<float> * 4 == kTileColumns<double> * 8);

struct Scratch {
  alignas(64) std::byte left[kLeftBytes];
  alignas(64) std::byte right[kRightBytes];
  alignas(64) std::byte sums[kSumBytes];
};
thread_local Scratch scratch;

/// Adds Rows x (Vectors of) columns over `depth` to `sums`. The accumulators are registers.
template <class T, int Rows, int Vectors>
void multiply_micro(std::int64_t depth, const T* left, const T* right, T* sums) {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));
  Vector acc[Rows][Vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector b[Vectors];
    for (int v = 0; v < Vectors; ++v) std::memcpy(&b[v], right + k * kMicroColumns<T> + v * lanes, sizeof(Vector));
    for (int r = 0; r < Rows; ++r) {
      const T a = left[k * kMicroRows + r];
      for (int v = 0; v < Vectors; ++v) acc[r][v] += a * b[v];
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      T* to = sums + r * kTileColumns<T> + v * lanes;
      Vector sum;
      std::memcpy(&sum, to, sizeof(Vector));
      sum += acc[r][v];
      std::memcpy(to, &sum, sizeof(Vector));
    }
  }
}

template <class T, int Vectors>
void multiply_rows(std::int64_t rows, std::int64_t depth, const T* left, const T* right, T* sums) {
  if (rows > 4) return multiply_micro<T, kMicroRows, Vectors>(depth, left, right, sums);
  if (rows > 2) return multiply_micro<T, 4, Vectors>(depth, left, right, sums);
  if (rows > 1) return multiply_micro<T, 2, Vectors>(depth, left, right, sums);
  return multiply_micro<T, 1, Vectors>(depth, left, right, sums);
}

}  // namespace

template <class T>
void transpose_panel(const T* rows, std::int64_t stride, std::int64_t count, std::int64_t depth, int width, T* to) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    std::int64_t d = 0;
    for (; d + 4 <= depth; d += 4) {
      Four in[4];
      for (int r = 0; r < 4; ++r) std::memcpy(&in[r], rows + (i + r) * stride + d, sizeof(Four));
      const Four low01 = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5),
                 high01 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
      const Four low23 = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5),
                 high23 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
      const Four out[4] = {
          __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
          __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
      for (int r = 0; r < 4; ++r) std::memcpy(to + (d + r) * width + i, &out[r], sizeof(Four));
    }
    for (; d < depth; ++d) {
      for (std::int64_t r = i; r < i + 4; ++r) to[d * width + r] = rows[r * stride + d];
    }
  }
  for (; i < count; ++i) {
    for (std::int64_t d = 0; d < depth; ++d) to[d * width + i] = rows[i * stride + d];
  }
  for (; i < width; ++i) {
    for (std::int64_t d = 0; d < depth; ++d) to[d * width + i] = T{0};
  }
}

template <class T, class E>
void MatrixOperand<T, E>::pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width,
                               T* to) const {
  const E* from = data_ + line * line_stride_ + k * depth_stride_;
  if (line_stride_ == 1) {  // row by row of memory, whose lines may be far apart
    for (std::int64_t d = 0; d < depth; ++d, from += depth_stride_) {
      for (std::int64_t i = 0; i < lines; i += width) {
        T* place = to + i * depth + d * width;
        if (lines - i >= width) {
          for (int j = 0; j < width; ++j) place[j] = cast<T>(from[i + j]);
        } else {
          for (std::int64_t j = 0; j < width; ++j) place[j] = i + j < lines ? cast<T>(from[i + j]) : T{0};
        }
      }
    }
    return;
  }
  for (; lines > 0; lines -= width, from += width * line_stride_, to += width * depth) {
    const std::int64_t count = std::min<std::int64_t>(lines, width);
    if constexpr (std::is_same_v<T, E>) {
      if (depth_stride_ == 1) {
        transpose_panel(from, line_stride_, count, depth, width, to);
        continue;
      }
    }
    T rows[std::max(kMicroRows, kMicroColumns<T>) * kTileDepth];  // either side's panel
    for (std::int64_t i = 0; i < count; ++i) {
      const E* row = from + i * line_stride_;
      for (std::int64_t d = 0; d < depth; ++d) rows[i * kTileDepth + d] = cast<T>(row[d * depth_stride_]);
    }
    transpose_panel(rows, kTileDepth, count, depth, width, to);
  }
}

template <class T>
Tile<T>::Tile(std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns)
    : row_(row),
      rows_(rows),
      column_(column),
      columns_(columns),
      left_(reinterpret_cast<T*>(scratch.left)),
      right_(reinterpret_cast<T*>(scratch.right)),
      sums_(reinterpret_cast<T*>(scratch.sums)) {
  const std::int64_t padded = (rows + kMicroRows - 1) / kMicroRows * kMicroRows;
  const std::int64_t width = (columns + kMicroColumns<T> - 1) / kMicroColumns<T> * kMicroColumns<T>;
  for (std::int64_t i = 0; i < padded; ++i) std::fill_n(sums_ + i * kTileColumns<T>, width, T{0});
}

template <class T>
void Tile<T>::add(const Operand<T>& left, const Operand<T>& right, std::int64_t depth) {
  constexpr std::int64_t lanes = kMicroColumns<T> / 2;
  for (std::int64_t k = 0; k < depth; k += kTileDepth) {
    const std::int64_t block = std::min(kTileDepth, depth - k);
    left.pack(row_, rows_, k, block, kMicroRows, left_);
    right.pack(column_, columns_, k, block, kMicroColumns<T>, right_);
    for (std::int64_t c = 0; c < columns_; c += kMicroColumns<T>) {
      for (std::int64_t r = 0; r < rows_; r += kMicroRows) {
        const T* a = left_ + r * block;
        const T* b = right_ + c * block;
        T* sums = sums_ + r * kTileColumns<T> + c;
        if (columns_ - c > lanes) {
          multiply_rows<T, 2>(rows_ - r, block, a, b, sums);
        } else {
          multiply_rows<T, 1>(rows_ - r, block, a, b, sums);
        }
      }
    }
  }
}

template <class T>
void Tile<T>::multiply(T by) {
  for (std::int64_t i = 0; i < rows_; ++i) {
    T* row = sums_ + i * kTileColumns<T>;
    for (std::int64_t j = 0; j < columns_; ++j) row[j] *= by;
  }
}

template <class T>
Tiling tiling(std::int64_t rows, std::int64_t columns, std::int64_t depth, std::int64_t copies) {
  constexpr std::int64_t wanted = 8;                     // tiles, so that a few threads have something to share
  constexpr std::int64_t small = std::int64_t{1} << 18;  // multiplications that are not worth sharing
  auto align = [](std::int64_t size, std::int64_t step) { return (size + step - 1) / step * step; };
  Tiling result{rows, columns, kTileRows, kTileColumns<T>};
  if (rows == 0 || columns == 0) return result;
  // Equal tiles instead of a full one and a rest.
  result.tile_rows = align((rows + result.down() - 1) / result.down(), kMicroRows);
  auto splittable = [&] { return result.tile_rows * result.tile_columns * depth > small; };
  // Columns first: packing rows again for every column tile is cheaper than unfolding columns again for every row tile.
  while (copies * result.count() < wanted && splittable() && result.tile_columns > kMicroColumns<T>) {
    result.tile_columns = align((std::min(result.tile_columns, columns) + 1) / 2, kMicroColumns<T>);
  }
  while (copies * result.count() < wanted / 2 && splittable() && result.tile_rows > kMicroRows) {
    result.tile_rows = align(result.tile_rows / 2, kMicroRows);
  }
  return result;
}

std::int64_t tile_grain(const Tiling& tiles, std::int64_t depth) {
  constexpr std::int64_t worthwhile = std::int64_t{1} << 18;
  const std::int64_t work = std::min(tiles.rows, tiles.tile_rows) * std::min(tiles.columns, tiles.tile_columns);
  const std::int64_t whole = std::max<std::int64_t>(1, work) * std::clamp<std::int64_t>(depth, 1, worthwhile);
  return std::max<std::int64_t>(1, worthwhile / whole);
}

template <class T, class E>
void store(const Tile<T>& tile, E* out, std::int64_t row_stride, std::int64_t column_stride, bool accumulate,
           const Bias<E>& bias) {
  const bool by_columns = bias.data != nullptr && bias.column_stride != 0;
  T starts[kTileColumns<T>];  // of the columns
  for (std::int64_t j = 0; by_columns && j < tile.columns(); ++j)
    starts[j] = cast<T>(bias.data[(tile.column() + j) * bias.column_stride]);
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const T* from = tile.sums(i);
    E* to = out + (tile.row() + i) * row_stride + tile.column() * column_stride;
    const auto write = [&](const auto& value) {
      if (column_stride == 1) {
        for (std::int64_t j = 0; j < tile.columns(); ++j) to[j] = cast<E>(static_cast<T>(value(j)));
      } else {
        for (std::int64_t j = 0; j < tile.columns(); ++j) to[j * column_stride] = cast<E>(static_cast<T>(value(j)));
      }
    };
    if (accumulate) {
      write([&](std::int64_t j) { return cast<T>(to[j * column_stride]) + from[j]; });
    } else if (by_columns) {
      write([&](std::int64_t j) { return from[j] + starts[j]; });
    } else {
      const T start = bias.data == nullptr ? T{0} : cast<T>(bias.data[(tile.row() + i) * bias.row_stride]);
      write([&](std::int64_t j) { return from[j] + start; });
    }
  }
}

#define MNEMO_PRODUCT(T, E)           \
  template class MatrixOperand<T, E>; \
  template void store<T, E>(const Tile<T>&, E*, std::int64_t, std::int64_t, bool, const Bias<E>&);
MNEMO_PRODUCT(double, double)
MNEMO_PRODUCT(float, float)
MNEMO_PRODUCT(float, float16)
MNEMO_PRODUCT(float, bfloat16)
#undef MNEMO_PRODUCT
template void transpose_panel<double>(const double*, std::int64_t, std::int64_t, std::int64_t, int, double*);
template void transpose_panel<float>(const float*, std::int64_t, std::int64_t, std::int64_t, int, float*);
template class Tile<double>;
template class Tile<float>;
template Tiling tiling<double>(std::int64_t, std::int64_t, std::int64_t, std::int64_t);
template Tiling tiling<float>(std::int64_t, std::int64_t, std::int64_t, std::int64_t);

}  // namespace mnemo::cpu
