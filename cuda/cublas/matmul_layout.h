// A matrix product in the words of cuBLASLt: column-major matrices with a leading dimension, transposed or not.
// Private.
#pragma once

#include <cstdint>
#include <optional>

#include <mnemo/core/backend.h>

namespace mnemo::cuda {

/// A matrix of one operand: stored by columns, `leading` elements apart; `transposed` if what is stored is its
/// transpose.
struct Columns {
  std::int64_t leading = 1;
  std::int64_t batch_stride = 0;
  bool transposed = false;

  bool operator==(const Columns&) const = default;
};

/// d (rows, columns) = a (rows, depth) * b (depth, columns) [+ bias (rows)], `batch` of them. What distinguishes one
/// product's plan from another's.
struct ColumnProduct {
  DType dtype = DType::float32;
  std::int64_t rows = 0, columns = 0, depth = 0, batch = 1;
  Columns a, b, d;
  bool swapped = false;  ///< the transpose of what was asked for: its left operand is the other's right one
  bool accumulate = false;
  bool tf32 = false;                                      ///< float32 operands may be rounded to TF32
  int a_alignment = 1, b_alignment = 1, d_alignment = 1;  ///< of the addresses, in bytes: powers of 2 up to 256
  int bias_alignment = 0;      ///< the same for one number for each row, which the library adds; 0: it adds nothing
  std::int64_t workspace = 0;  ///< bytes

  bool operator==(const ColumnProduct&) const = default;
};

/// Backend::matmul's product; nothing where strides do not fit. REQUIRES: no size is 0.
std::optional<ColumnProduct> column_product(const MatmulCall& call);

}  // namespace mnemo::cuda
