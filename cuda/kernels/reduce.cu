// reduce: sums. Largest and smallest elements are extreme.cu's.
#include <mnemo/cuda/kernels/extreme.h>
#include <mnemo/cuda/kernels/reduce.h>

namespace mnemo::cuda {

void CudaBackend::reduce(ReduceOp op, const Array& x, unsigned axes, double scale, const Array& out) {
  if (out.numel() == 0) return;
  if (op != ReduceOp::sum) return reduce_to_extreme(*this, op == ReduceOp::min, x, axes, scale, out);
  // A bool is a byte that is 0 or 1.
  visit(x.dtype() == DType::boolean ? DType::uint8 : x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // Packs where training sums: other dtypes are not worth the kernels.
    constexpr int N = std::is_same_v<compute_type<T>, float> ? kPerVector<T> : 1;
    if constexpr (!std::is_same_v<T, bool>) reduce_as<N>(*this, Sum<T>{scale}, x, axes, out);
  });
}

}  // namespace mnemo::cuda
