// pool_gradient: a thread for each element of the input collects what the windows that have it send, in the order of
// the windows.
#include <mnemo/cuda/kernels/pool.h>

namespace mnemo::cuda {

namespace {

/// Offset: of the maximum; void: an average.
template <class E, class Offset, class I>
__global__ void gather_gradient(PoolShape<I> p, I inputs, const E* grad, const Offset* offsets, E* dx) {
  using T = compute_type<E>;
  for (std::int64_t at = first_item(); at < inputs; at += item_step()) {
    const Place<I> i(static_cast<I>(at), p.in);
    const Reach<I> r0(p, 0, i.at[0]), r1(p, 1, i.at[1]), r2(p, 2, i.at[2]);
    T sum{0};
    for (I o0 = r0.from; o0 < r0.until; ++o0) {
      const I a = tap_of(p, 0, i.at[0], o0);
      if (a < 0) continue;
      for (I o1 = r1.from; o1 < r1.until; ++o1) {
        const I b = tap_of(p, 1, i.at[1], o1);
        if (b < 0) continue;
        const I line = ((i.plane * p.out[0] + o0) * p.out[1] + o1) * p.out[2];
        const I tap = (a * p.kernel[1] + b) * p.kernel[2];
        [[maybe_unused]] std::int64_t lines = 1;
        if constexpr (std::is_void_v<Offset>)
          lines = std::int64_t{Window<I>(p, 0, o0).divisor} * Window<I>(p, 1, o1).divisor;
        for (I o2 = r2.from; o2 < r2.until; ++o2) {
          const I c = tap_of(p, 2, i.at[2], o2);
          if (c < 0) continue;
          if constexpr (std::is_void_v<Offset>) {
            const std::int64_t divisor = lines * Window<I>(p, 2, o2).divisor;
            sum += cast<T>(grad[line + o2]) / static_cast<T>(divisor < 1 ? 1 : divisor);
          } else {
            if (static_cast<I>(offsets[line + o2]) == tap + c) sum += cast<T>(grad[line + o2]);
          }
        }
      }
    }
    dx[at] = cast<E>(sum);
  }
}

}  // namespace

void CudaBackend::pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx) {
  if (dx.numel() == 0) return;
  if (problem.inner > 1) return pool_innermost_gradient(*this, problem, grad, offsets, dx);
  visit_floating(grad.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_shape(problem, [&]<class I>(const PoolShape<I>& shape) {
      const auto start = [&]<class Offset>(const Offset* places) {
        launch(*this, blocks_for(*this, dx.numel()), kThreads, gather_gradient<E, Offset, I>, shape,
               static_cast<I>(dx.numel()), elements<E>(grad), places, elements<E>(dx));
      };
      if (problem.kind == PoolProblem::Kind::average)
        start(static_cast<const void*>(nullptr));
      else if (problem.offset_dtype() == DType::uint8)
        start(static_cast<const std::uint8_t*>(elements<std::uint8_t>(offsets)));
      else
        start(static_cast<const std::int32_t*>(elements<std::int32_t>(offsets)));
    });
  });
}

}  // namespace mnemo::cuda
