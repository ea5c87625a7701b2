// pool: a thread for each output looks at its window; of a large window, a warp.
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/pool.h>

namespace mnemo::cuda {

namespace {

/// body(element, place in the window) for the taps inside the input, of which each of `group` threads takes some.
template <class E, class I, class Body>
__device__ void visit_window(const PoolShape<I>& p, const E* x, const Place<I>& o, const Window<I> (&w)[3], I member,
                             I group, const Body& body) {
  const E* plane = x + o.plane * p.in[0] * p.in[1] * p.in[2];
  for (I a = w[0].from; a < w[0].until; ++a) {
    for (I b = w[1].from; b < w[1].until; ++b) {
      const E* line = plane + ((w[0].start + a * p.dilation[0]) * p.in[1] + w[1].start + b * p.dilation[1]) * p.in[2];
      for (I c = w[2].from + member; c < w[2].until; c += group)
        body(line[w[2].start + c * p.dilation[2]], (a * p.kernel[1] + b) * p.kernel[2] + c);
    }
  }
}

/// kGroup threads for each output: 1, or a warp.
template <class E, class Offset, int kGroup, class I>
__global__ void max_pool(PoolShape<I> p, I outputs, const E* x, E* y, Offset* offsets) {
  using T = compute_type<E>;
  const I member = static_cast<I>(threadIdx.x) % kGroup;
  for (std::int64_t i = first_item() / kGroup; i < outputs; i += item_step() / kGroup) {
    const Place<I> o(static_cast<I>(i), p.out);
    const Window<I> w[3] = {{p, 0, o.at[0]}, {p, 1, o.at[1]}, {p, 2, o.at[2]}};
    Largest<T, I> largest;
    visit_window<E, I>(p, x, o, w, member, kGroup, [&](E element, I place) { largest.take(cast<T>(element), place); });
    if constexpr (kGroup > 1) {
      for (int distance = kGroup / 2; distance > 0; distance /= 2) {
        const T value = __shfl_xor_sync(kAllLanes, largest.value, distance);
        const I place = __shfl_xor_sync(kAllLanes, largest.place, distance);
        largest.join(value, place);
      }
    }
    if (member != 0) continue;
    y[i] = cast<E>(largest.value);
    if (offsets != nullptr) offsets[i] = static_cast<Offset>(largest.place < 0 ? 0 : largest.place);
  }
}

template <class E, int kGroup, class I>
__global__ void average_pool(PoolShape<I> p, I outputs, const E* x, E* y) {
  using T = compute_type<E>;
  const I member = static_cast<I>(threadIdx.x) % kGroup;
  for (std::int64_t i = first_item() / kGroup; i < outputs; i += item_step() / kGroup) {
    const Place<I> o(static_cast<I>(i), p.out);
    const Window<I> w[3] = {{p, 0, o.at[0]}, {p, 1, o.at[1]}, {p, 2, o.at[2]}};
    T sum{0};
    visit_window<E, I>(p, x, o, w, member, kGroup, [&](E element, I) { sum += cast<T>(element); });
    if constexpr (kGroup > 1) sum = group_join<kGroup, Plus>(sum, T{0});
    const std::int64_t divisor = std::int64_t{w[0].divisor} * w[1].divisor * w[2].divisor;
    if (member == 0) y[i] = cast<E>(divisor == 0 ? T{0} : sum / static_cast<T>(divisor));
  }
}

template <class E, int kGroup, class I>
void pool_with(const CudaBackend& backend, const PoolProblem& problem, const PoolShape<I>& shape, const Array& x,
               const Array& y, const Array& offsets) {
  const I outputs = static_cast<I>(y.numel());
  const unsigned blocks = blocks_for(backend, y.numel() * kGroup);
  if (problem.kind == PoolProblem::Kind::average) {
    launch(backend, blocks, kThreads, average_pool<E, kGroup, I>, shape, outputs, elements<E>(x), elements<E>(y));
  } else if (problem.offset_dtype() == DType::uint8) {
    launch(backend, blocks, kThreads, max_pool<E, std::uint8_t, kGroup, I>, shape, outputs, elements<E>(x),
           elements<E>(y), elements<std::uint8_t>(offsets));
  } else {
    launch(backend, blocks, kThreads, max_pool<E, std::int32_t, kGroup, I>, shape, outputs, elements<E>(x),
           elements<E>(y), elements<std::int32_t>(offsets));
  }
}

}  // namespace

void CudaBackend::pool(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets) {
  if (y.numel() == 0) return;
  if (problem.inner > 1) return pool_innermost(*this, problem, x, y, offsets);
  visit_floating(x.dtype(), [&](auto zero) {
    with_shape(problem, [&](const auto& shape) {
      // A warp takes a line of the window at a time.
      if (problem.kernel[2] >= 24)
        pool_with<decltype(zero), kWarp>(*this, problem, shape, x, y, offsets);
      else
        pool_with<decltype(zero), 1>(*this, problem, shape, x, y, offsets);
    });
  });
}

}  // namespace mnemo::cuda
