// arg_max: the place of the first largest element, or of the first smallest.
#include <mnemo/cuda/kernels/reduce.h>

namespace mnemo::cuda {

void CudaBackend::arg_max(const Array& x, int axis, bool smallest, const Array& out) {
  if (out.numel() == 0) return;
  // A bool is a byte that is 0 or 1.
  visit(x.dtype() == DType::boolean ? DType::uint8 : x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, bool>) reduce_as<1>(*this, ArgMax<T>{smallest}, x, 1u << axis, out);
  });
}

}  // namespace mnemo::cuda
