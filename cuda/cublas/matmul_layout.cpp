#include <mnemo/cuda/cublas/matmul_layout.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace mnemo::cuda {

namespace {

struct Matrix {
  std::int64_t rows, columns, row_stride, column_stride, batch_stride;

  explicit Matrix(const Array& array)
      : rows(array.size(1)),
        columns(array.size(2)),
        row_stride(array.strides()[1]),
        column_stride(array.strides()[2]),
        batch_stride(array.strides()[0]) {}

  Matrix transposed() const {
    Matrix result = *this;
    std::swap(result.rows, result.columns);
    std::swap(result.row_stride, result.column_stride);
    return result;
  }
  /// Whether the columns of all batches are those of one matrix: the stride of a single one is of no matter.
  bool is_one() const { return columns == 1 || batch_stride == columns * column_stride; }
  void join(std::int64_t batches) {
    if (columns == 1) column_stride = batch_stride;
    columns *= batches;
    batch_stride = 0;
  }

  std::optional<Columns> by_columns() const {
    // Columns that overlap, or all are the same, are no matrix for cuBLASLt.
    if (rows == 1 && columns == 1) return Columns{1, batch_stride, false};
    if (rows > 1 && row_stride == 1 && (columns == 1 || column_stride >= rows))
      return Columns{columns == 1 ? rows : column_stride, batch_stride, false};
    if (columns > 1 && column_stride == 1 && (rows == 1 || row_stride >= columns))
      return Columns{rows == 1 ? columns : row_stride, batch_stride, true};
    if (rows == 1 && column_stride >= 1) return Columns{column_stride, batch_stride, false};
    if (columns == 1 && row_stride >= 1) return Columns{row_stride, batch_stride, true};
    return std::nullopt;
  }
};

/// What can be written: not transposed. A single row or column is both.
std::optional<Columns> written_by_columns(const Matrix& d) {
  if (d.rows > 1 && d.row_stride != 1) return std::nullopt;
  if (d.columns > 1 && d.column_stride < d.rows) return std::nullopt;
  return Columns{d.columns == 1 ? d.rows : d.column_stride, d.batch_stride, false};
}

int alignment_of(const Array& array) {
  const auto address = reinterpret_cast<std::uintptr_t>(array.storage()->data()) +
                       static_cast<std::uintptr_t>(array.layout().offset * size_of(array.dtype()));
  return static_cast<int>(std::min<std::uintptr_t>(256, address & (~address + 1)));
}

/// Whether the library is to add the bias, which it does along the rows of a matrix that it writes, from numbers side
/// by side. Versions of it are known to leave out the bias of a single row, and to misread one that is not aligned.
bool takes_bias(const ColumnProduct& product, const Array& bias) {
  constexpr int kLeastAlignment = 16;
  return bias.defined() && product.swapped && product.batch == 1 && product.rows > 1 && bias.strides()[0] == 1 &&
         alignment_of(bias) >= kLeastAlignment;
}

}  // namespace

std::optional<ColumnProduct> column_product(const MatmulCall& call) {
  Matrix left(call.a), right(call.b), result(call.out);
  ColumnProduct product;
  product.dtype = call.out.dtype();
  product.batch = call.out.size(0);
  product.accumulate = call.accumulate;
  product.workspace = call.workspace.defined() ? call.workspace.bytes() : 0;
  product.a_alignment = alignment_of(call.a);
  product.b_alignment = alignment_of(call.b);
  product.d_alignment = alignment_of(call.out);
  if (product.batch > std::numeric_limits<std::int32_t>::max()) return std::nullopt;

  // Stored by rows, the result is its transpose stored by columns: the product of the transposed operands, swapped.
  std::optional<Columns> d = written_by_columns(result.transposed());
  product.swapped = d.has_value();
  if (product.swapped) {
    std::swap(left, right);
    left = left.transposed();
    right = right.transposed();
    result = result.transposed();
    std::swap(product.a_alignment, product.b_alignment);
  } else {
    d = written_by_columns(result);
  }
  // A batch of which all are multiplied by the same matrix is one product of more columns.
  if (product.batch > 1 && left.batch_stride == 0 && right.is_one() && result.is_one()) {
    right.join(product.batch);
    result.join(std::exchange(product.batch, 1));
    d = written_by_columns(result);
  }
  const auto first = left.by_columns(), second = right.by_columns();
  if (!d || !first || !second) return std::nullopt;
  product.rows = result.rows;
  product.columns = result.columns;
  product.depth = left.columns;
  product.a = *first;
  product.b = *second;
  product.d = *d;
  if (takes_bias(product, call.bias)) product.bias_alignment = alignment_of(call.bias);
  if (product.batch == 1) product.a.batch_stride = product.b.batch_stride = product.d.batch_stride = 0;
  return product;
}

}  // namespace mnemo::cuda
