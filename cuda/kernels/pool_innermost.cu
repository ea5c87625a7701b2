// pool and its gradient with the channels innermost: a thread has neighbouring channels of one place, as many as move
// in 16 bytes.
#include <mnemo/cuda/kernels/pool.h>

namespace mnemo::cuda {

namespace {

/// A PoolProblem of places with `groups` groups of N channels each.
template <class I>
struct Places {
  PoolShape<I> shape;
  I groups;
  std::int64_t inner;  ///< channels

  /// Channels of place (plane, a, b, c) in images of these sizes, from `group` on. Counted in 64 bits: elements may be
  /// more than groups can be counted in I.
  template <int N>
  __device__ std::int64_t element(I plane, I a, I b, I c, const I (&sizes)[3], I group) const {
    const std::int64_t line = (std::int64_t{plane} * sizes[0] + a) * sizes[1] + b;
    return (line * sizes[2] + c) * inner + std::int64_t{group} * N;
  }
};

/// N elements that lie at `to`, in as few instructions as their bytes need.
template <class T, int N>
__device__ void store_all(const T (&values)[N], T* to) {
  constexpr int kPart = std::min(N, kPerVector<T>);
  MNEMO_UNROLL
  for (int i = 0; i < N; i += kPart) {
    Pack<T, kPart> pack;
    MNEMO_UNROLL
    for (int k = 0; k < kPart; ++k) pack.values[k] = values[i + k];
    store(pack, to + i);
  }
}

/// Offset: of the maximum; void: an average.
template <class E, class Offset, int N, class I>
__global__ void pool_places(Places<I> places, std::int64_t items, const E* x, E* y, Offset* offsets) {
  using T = compute_type<E>;
  constexpr bool kMax = !std::is_void_v<Offset>;
  const PoolShape<I>& p = places.shape;
  for (std::int64_t item = first_item(); item < items; item += item_step()) {
    const I number = quotient(static_cast<I>(item), places.groups);
    const I group = static_cast<I>(item) - number * places.groups;
    const Place<I> o(number, p.out);
    const Window<I> w0(p, 0, o.at[0]), w1(p, 1, o.at[1]), w2(p, 2, o.at[2]);
    [[maybe_unused]] Largest<T, I> largest[N];
    [[maybe_unused]] T sums[N] = {};
    for (I a = w0.from; a < w0.until; ++a) {
      for (I b = w1.from; b < w1.until; ++b) {
        const E* from = x + places.template element<N>(o.plane, w0.start + a * p.dilation[0],
                                                       w1.start + b * p.dilation[1], 0, p.in, group);
        for (I c = w2.from; c < w2.until; ++c) {
          const Pack<E, N> pack = load<N>(from + (w2.start + c * p.dilation[2]) * places.inner);
          const I tap = (a * p.kernel[1] + b) * p.kernel[2] + c;
          MNEMO_UNROLL
          for (int k = 0; k < N; ++k) {
            if constexpr (kMax)
              largest[k].take(cast<T>(pack.values[k]), tap);
            else
              sums[k] += cast<T>(pack.values[k]);
          }
        }
      }
    }
    const std::int64_t to = std::int64_t{number} * places.inner + std::int64_t{group} * N;
    const std::int64_t divisor = std::int64_t{w0.divisor} * w1.divisor * w2.divisor;
    E results[N];
    MNEMO_UNROLL
    for (int k = 0; k < N; ++k) {
      if constexpr (kMax)
        results[k] = cast<E>(largest[k].value);
      else
        results[k] = cast<E>(divisor == 0 ? T{0} : sums[k] / static_cast<T>(divisor));
    }
    store_all(results, y + to);
    if constexpr (kMax) {
      if (offsets == nullptr) continue;
      Offset taps[N];
      MNEMO_UNROLL
      for (int k = 0; k < N; ++k) taps[k] = static_cast<Offset>(largest[k].place < 0 ? 0 : largest[k].place);
      store_all(taps, offsets + to);
    }
  }
}

template <class E, class Offset, int N, class I>
__global__ void gather_places(Places<I> places, std::int64_t items, const E* grad, const Offset* offsets, E* dx) {
  using T = compute_type<E>;
  const PoolShape<I>& p = places.shape;
  for (std::int64_t item = first_item(); item < items; item += item_step()) {
    const I number = quotient(static_cast<I>(item), places.groups);
    const I group = static_cast<I>(item) - number * places.groups;
    const Place<I> i(number, p.in);
    const Reach<I> r0(p, 0, i.at[0]), r1(p, 1, i.at[1]), r2(p, 2, i.at[2]);
    T sums[N] = {};
    for (I o0 = r0.from; o0 < r0.until; ++o0) {
      const I a = tap_of(p, 0, i.at[0], o0);
      if (a < 0) continue;
      for (I o1 = r1.from; o1 < r1.until; ++o1) {
        const I b = tap_of(p, 1, i.at[1], o1);
        if (b < 0) continue;
        [[maybe_unused]] std::int64_t lines = 1;
        if constexpr (std::is_void_v<Offset>)
          lines = std::int64_t{Window<I>(p, 0, o0).divisor} * Window<I>(p, 1, o1).divisor;
        const std::int64_t line = places.template element<N>(i.plane, o0, o1, 0, p.out, group);
        for (I o2 = r2.from; o2 < r2.until; ++o2) {
          const I c = tap_of(p, 2, i.at[2], o2);
          if (c < 0) continue;
          const std::int64_t from = line + o2 * places.inner;
          const Pack<E, N> grads = load<N>(grad + from);
          if constexpr (std::is_void_v<Offset>) {
            const std::int64_t divisor = lines * Window<I>(p, 2, o2).divisor;
            const T share = static_cast<T>(divisor < 1 ? 1 : divisor);
            MNEMO_UNROLL
            for (int k = 0; k < N; ++k) sums[k] += cast<T>(grads.values[k]) / share;
          } else {
            const Pack<Offset, N> taps = load<N>(offsets + from);
            const auto tap = static_cast<Offset>((a * p.kernel[1] + b) * p.kernel[2] + c);
            MNEMO_UNROLL
            for (int k = 0; k < N; ++k) {
              if (taps.values[k] == tap) sums[k] += cast<T>(grads.values[k]);
            }
          }
        }
      }
    }
    E results[N];
    MNEMO_UNROLL
    for (int k = 0; k < N; ++k) results[k] = cast<E>(sums[k]);
    store_all(results, dx + std::int64_t{number} * places.inner + std::int64_t{group} * N);
  }
}

/// Whether each thread takes a pack of channels: where memory and sizes allow, and unless many threads would be idle
/// while few go through large windows. `written`: the array whose places the threads have.
template <int N>
bool takes_packs(const CudaBackend& backend, const PoolProblem& problem, const Array& read, const Array& offsets,
                 const Array& written) {
  constexpr std::int64_t kLarge = 32;
  const std::int64_t window = problem.kernel[0] * problem.kernel[1] * problem.kernel[2];
  const bool enough = window < kLarge || written.numel() / N >= std::int64_t{1024} * backend.multiprocessors();
  bool fits = problem.inner % N == 0 && is_aligned(read) && is_aligned(written);
  if (problem.kind == PoolProblem::Kind::max) {  // packs of one-byte offsets alone: larger windows are rare
    fits = fits && problem.offset_dtype() == DType::uint8;
    if (offsets.defined()) fits = fits && reinterpret_cast<std::uintptr_t>(first_byte(offsets)) % N == 0;
  }
  return fits && enough;
}

/// Calls f(Places, items, constant of N, offsets): the latter null pointers to void for averages.
template <class E, class F>
void with_places(const CudaBackend& backend, const PoolProblem& problem, const Array& read, const Array& offsets,
                 const Array& written, const F& f) {
  constexpr int kPack = kPerVector<E>;
  const bool packs = takes_packs<kPack>(backend, problem, read, offsets, written);
  const auto start = [&]<int N, class I>(const PoolShape<I>& shape, std::integral_constant<int, N> width) {
    const Places<I> places{shape, static_cast<I>(problem.inner / N), problem.inner};
    const std::int64_t items = written.numel() / N;
    if (problem.kind == PoolProblem::Kind::average)
      f(places, items, width, static_cast<void*>(nullptr));
    else if (N > 1 || problem.offset_dtype() == DType::uint8)
      f(places, items, width, elements<std::uint8_t>(offsets));
    else if constexpr (N == 1)
      f(places, items, width, elements<std::int32_t>(offsets));
  };
  const auto choose = [&]<class I>(const PoolShape<I>& shape) {
    if constexpr (std::is_same_v<I, std::int32_t>) {
      if (packs) return start(shape, std::integral_constant<int, kPack>{});
    }
    start(shape, std::integral_constant<int, 1>{});
  };
  with_shape(problem, choose, packs ? problem.inner / kPack : problem.inner);
}

}  // namespace

void pool_innermost(const CudaBackend& backend, const PoolProblem& problem, const Array& x, const Array& y,
                    const Array& offsets) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const auto start = [&]<int N, class I, class Offset>(const Places<I>& places, std::int64_t items,
                                                         std::integral_constant<int, N>, Offset* taps) {
      launch(backend, blocks_for(backend, items), kThreads, pool_places<E, Offset, N, I>, places, items, elements<E>(x),
             elements<E>(y), taps);
    };
    with_places<E>(backend, problem, x, offsets, y, start);
  });
}

void pool_innermost_gradient(const CudaBackend& backend, const PoolProblem& problem, const Array& grad,
                             const Array& offsets, const Array& dx) {
  visit_floating(grad.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const auto start = [&]<int N, class I, class Offset>(const Places<I>& places, std::int64_t items,
                                                         std::integral_constant<int, N>, Offset* taps) {
      launch(backend, blocks_for(backend, items), kThreads, gather_places<E, Offset, N, I>, places, items,
             elements<E>(grad), taps, elements<E>(dx));
    };
    with_places<E>(backend, problem, grad, offsets, dx, start);
  });
}

}  // namespace mnemo::cuda
