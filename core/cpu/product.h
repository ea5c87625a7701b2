// The engine of matrix products and convolutions: one output tile at a time, from operands that pack themselves into
// panels. All scratch has a fixed size and belongs to the thread; which numbers are added in which order depends on
// sizes alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include <mnemo/core/dtype.h>

namespace mnemo::cpu {

// The widest vectors that this build has. A micro tile of kMicroRows x kMicroColumns sums fills most registers.
#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kMicroRows = 8;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kMicroRows = 6;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kMicroRows = 6;
#endif
template <class T>
inline constexpr int kMicroColumns = 2 * kVectorBytes / static_cast<int>(sizeof(T));

// A panel of the right operand stays in the first cache, all panels of a tile in the second.
inline constexpr std::int64_t kTileDepth = 192;
inline constexpr std::int64_t kTileRows = 16 * kMicroRows;
template <class T>
inline constexpr std::int64_t kTileColumns = 8 * kMicroColumns<T>;

/// One side of a product: lines (rows of the left, columns of the right operand) of `depth` elements.
template <class T>
class Operand {
 public:
  Operand() = default;
  virtual ~Operand() = default;
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  /// Writes lines [line, line + lines) over depths [k, k + depth) as panels of `width` lines, each depth x width.
  /// Lines that are missing in the last panel are 0.
  virtual void pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width,
                    T* to) const = 0;
};

/// Writes at most `width` rows of `depth` elements, `stride` apart, as one panel (depth x width); missing rows are 0.
template <class T>
void transpose_panel(const T* rows, std::int64_t stride, std::int64_t count, std::int64_t depth, int width, T* to);

/// A matrix in memory with any strides.
template <class T, class E>
class MatrixOperand final : public Operand<T> {
 public:
  MatrixOperand(const E* data, std::int64_t line_stride, std::int64_t depth_stride)
      : data_(data), line_stride_(line_stride), depth_stride_(depth_stride) {}
  void pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width, T* to) const override;

 private:
  const E* data_;
  std::int64_t line_stride_, depth_stride_;
};

/// One output tile of at most kTileRows x kTileColumns sums, in this thread's scratch: one Tile per thread at a time.
template <class T>
class Tile {
 public:
  /// All sums are 0.
  Tile(std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns);

  /// Adds left rows times right columns over `depth`.
  void add(const Operand<T>& left, const Operand<T>& right, std::int64_t depth);
  /// Multiplies all sums by a number.
  void multiply(T by);

  std::int64_t row() const { return row_; }  ///< first row of the product
  std::int64_t rows() const { return rows_; }
  std::int64_t column() const { return column_; }  ///< first column of the product
  std::int64_t columns() const { return columns_; }
  /// The sums of row() + i.
  const T* sums(std::int64_t i) const { return sums_ + i * kTileColumns<T>; }

 private:
  std::int64_t row_, rows_, column_, columns_;
  T* left_;
  T* right_;
  T* sums_;
};

/// How a product of rows x columns is cut into tiles.
struct Tiling {
  std::int64_t rows = 0, columns = 0;
  std::int64_t tile_rows = 1, tile_columns = 1;

  std::int64_t down() const { return (rows + tile_rows - 1) / tile_rows; }
  std::int64_t across() const { return (columns + tile_columns - 1) / tile_columns; }
  std::int64_t count() const { return down() * across(); }

  /// Tile `index`; those that share columns follow each other.
  template <class T>
  Tile<T> tile(std::int64_t index) const {
    const std::int64_t row = index % down() * tile_rows, column = index / down() * tile_columns;
    return {row, std::min(tile_rows, rows - row), column, std::min(tile_columns, columns - column)};
  }
};

/// The tiling of one of `copies` equal products: smaller tiles where there would be too few for several threads.
template <class T>
Tiling tiling(std::int64_t rows, std::int64_t columns, std::int64_t depth, std::int64_t copies);

/// Tiles that one thread takes at a time: enough work to be worth the hand-over.
std::int64_t tile_grain(const Tiling& tiles, std::int64_t depth);

/// What is added to a product's element of row i and column j: data[i * row_stride + j * column_stride]. One of the
/// strides is 0.
template <class E>
struct Bias {
  const E* data = nullptr;  ///< null: nothing
  std::int64_t row_stride = 1, column_stride = 0;
};

/// Writes a tile to rows of E: row i of the product begins at out + i * row_stride. REQUIRES: no bias when
/// accumulating.
template <class T, class E>
void store(const Tile<T>& tile, E* out, std::int64_t row_stride, std::int64_t column_stride, bool accumulate,
           const Bias<E>& bias);

}  // namespace mnemo::cpu
