// Matrix products whose operands have strides in both dimensions: cuBLAS takes none, and a copy would need memory.
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/multiply.h>
#include <mnemo/cuda/kernels/tiles.h>

namespace mnemo::cuda {

namespace {

/// A batch of matrices.
struct Strides {
  std::int64_t batch, row, column;

  explicit Strides(const Array& array)
      : batch(array.strides()[0]), row(array.strides()[1]), column(array.strides()[2]) {}
};

template <class E>
struct StridedProduct {
  using C = compute_type<E>;
  struct Line {
    std::int64_t b, out;
    C bias;
  };
  struct Step {
    std::int64_t a, b;
  };

  const E* a_data;
  const E* b_data;
  E* out_data;
  const E* bias_data;  // or null
  Strides a_strides, b_strides, out_strides;
  std::int64_t bias_stride;
  C scale;
  bool accumulate, a_along_rows, b_along_columns;

  __device__ Line line(std::int64_t batch, std::int64_t column) const {
    return {batch * b_strides.batch + column * b_strides.column,
            batch * out_strides.batch + column * out_strides.column,
            bias_data == nullptr ? C{0} : cast<C>(bias_data[column * bias_stride])};
  }
  __device__ Step step(std::int64_t batch, std::int64_t d) const {
    return {batch * a_strides.batch + d * a_strides.column, d * b_strides.row};
  }
  __device__ C a(std::int64_t, std::int64_t row, const Step& step) const {
    return cast<C>(a_data[step.a + row * a_strides.row]);
  }
  __device__ C b(const Step& step, const Line& line) const { return cast<C>(b_data[step.b + line.b]); }
  __device__ void store(std::int64_t, std::int64_t row, const Line& line, C value) const {
    E& to = out_data[line.out + row * out_strides.row];
    value *= scale;
    to = cast<E>(accumulate ? cast<C>(to) + value : value + line.bias);
  }
};

}  // namespace

void multiply_strided(const CudaBackend& backend, const MatmulCall& call) {
  const Array &a = call.a, &b = call.b, &out = call.out;
  visit_floating(out.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const StridedProduct<E> task{.a_data = elements<const E>(a),
                                 .b_data = elements<const E>(b),
                                 .out_data = elements<E>(out),
                                 .bias_data = call.bias.defined() ? elements<const E>(call.bias) : nullptr,
                                 .a_strides = Strides(a),
                                 .b_strides = Strides(b),
                                 .out_strides = Strides(out),
                                 .bias_stride = call.bias.defined() ? call.bias.strides()[0] : 0,
                                 .scale = static_cast<compute_type<E>>(call.scale),
                                 .accumulate = call.accumulate,
                                 .a_along_rows = a.strides()[1] < a.strides()[2],
                                 .b_along_columns = b.strides()[2] <= b.strides()[1]};
    multiply_tiles(backend, task, out.size(0), out.size(1), out.size(2), a.size(2));
  });
}

}  // namespace mnemo::cuda
