// reduce: sums, largest and smallest elements.
#include <mnemo/cuda/kernels/reduce.h>

namespace mnemo::cuda {

void CudaBackend::reduce(ReduceOp op, const Array& x, unsigned axes, double scale, const Array& out) {
  if (out.numel() == 0) return;
  // A bool is a byte that is 0 or 1.
  visit(x.dtype() == DType::boolean ? DType::uint8 : x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, bool>) {
      constexpr int N = std::is_floating_point_v<compute_type<T>> ? kPerVector<T> : 1;
      if (op == ReduceOp::sum)
        reduce_as<N>(*this, Sum<T>{scale}, x, axes, out);
      else
        reduce_as<N>(*this, Extreme<T>{scale, op == ReduceOp::min}, x, axes, out);
    }
  });
}

}  // namespace mnemo::cuda
