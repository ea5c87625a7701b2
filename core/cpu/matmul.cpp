#include <mnemo/core/cpu/matmul.h>

#include <cassert>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/eigen_product.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/cpu/product.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

template <class E>
void multiply_as(const Product& p) {
  using T = compute_type<E>;
  const Tiling tiles = tiling<T>(p.rows, p.columns, p.depth, p.batch);
  parallel_for(p.batch * tiles.count(), tile_grain(tiles, p.depth), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t batch = task / tiles.count();
      const MatrixOperand<T, E> a(static_cast<const E*>(p.a.data) + batch * p.a.batch_stride, p.a.row_stride,
                                  p.a.column_stride);
      const MatrixOperand<T, E> b(static_cast<const E*>(p.b.data) + batch * p.b.batch_stride, p.b.column_stride,
                                  p.b.row_stride);
      auto tile = tiles.tile<T>(task % tiles.count());
      tile.add(a, b, p.depth);
      if (p.scale != 1) tile.multiply(static_cast<T>(p.scale));
      store(tile, static_cast<E*>(p.out.data) + batch * p.out.batch_stride, p.out.row_stride, p.out.column_stride,
            p.accumulate, Bias<E>{static_cast<const E*>(p.bias.data), p.bias.row_stride, p.bias.column_stride});
    }
  });
}

void* address(const Array& array) {
  void* result = nullptr;
  visit_floating(array.dtype(), [&](auto zero) { result = array.data<decltype(zero)>(); });
  return result;
}

Matrix matrix(const Array& array) {
  Matrix result;
  result.data = address(array);
  result.batch_stride = array.strides()[0];
  result.row_stride = array.strides()[1];
  result.column_stride = array.strides()[2];
  return result;
}

}  // namespace

void multiply(const Product& product) {
  // The tiles of the direct convolution take what Eigen cannot read in place: halves, and strides in both dimensions.
  if (multiply_with_eigen(product)) return;
  visit_floating(product.dtype, [&](auto zero) { multiply_as<decltype(zero)>(product); });
}

void CpuBackend::matmul(const MatmulCall& call) {
  assert(!(call.accumulate && call.bias.defined()));
  multiply({.dtype = call.out.dtype(),
            .batch = call.out.size(0),
            .rows = call.out.size(1),
            .columns = call.out.size(2),
            .depth = call.a.size(2),
            .a = matrix(call.a),
            .b = matrix(call.b),
            .out = matrix(call.out),
            .accumulate = call.accumulate,
            .scale = call.scale,
            .bias = call.bias.defined() ? Matrix{address(call.bias), 0, call.bias.strides()[0]} : Matrix{}});
}

}  // namespace mnemo::cpu
