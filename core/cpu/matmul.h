// Products of matrices in memory, with any strides: what `matmul` and the unfolding convolution share.
#pragma once

#include <cstdint>

#include <mnemo/core/dtype.h>

namespace mnemo::cpu {

/// Where a batch of matrices lies, in elements.
struct Matrix {
  void* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 0, batch_stride = 0;
};

/// out (batch, rows, columns) = scale * a (batch, rows, depth) * b (batch, depth, columns) [+ bias (rows, columns)], or
/// added to what is there.
struct Product {
  DType dtype = DType::float32;
  std::int64_t batch = 1, rows = 0, columns = 0, depth = 0;
  Matrix a, b, out;
  bool accumulate = false;
  double scale = 1;
  Matrix bias = {};  ///< one for each row or for each column: the other stride is 0
};

/// Computes it on the backend's threads. REQUIRES: a floating dtype; no bias when accumulating.
void multiply(const Product& product);

}  // namespace mnemo::cpu
