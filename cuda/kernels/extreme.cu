#include <mnemo/cuda/kernels/extreme.h>
#include <mnemo/cuda/kernels/reduce.h>

namespace mnemo::cuda {

void reduce_to_extreme(const CudaBackend& backend, bool smallest, const Array& x, unsigned axes, double scale,
                       const Array& out) {
  // A bool is a byte that is 0 or 1.
  visit(x.dtype() == DType::boolean ? DType::uint8 : x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    constexpr int N = std::is_same_v<T, float> ? kPerVector<T> : 1;
    if constexpr (!std::is_same_v<T, bool>) reduce_as<N>(backend, Extreme<T>{scale, smallest}, x, axes, out);
  });
}

}  // namespace mnemo::cuda
