// resample: a thread for each element of the result, and in the gradient for each of the input.
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>
#include <mnemo/cuda/kernels/place.h>

namespace mnemo::cuda {

namespace {

/// A ResampleProblem as kernels take it. I: int32 where every place fits into it, since division is several times as
/// fast then.
template <class I>
struct ResampleShape {
  I inner, in[3], out[3];
  Resampling<I> axes[3];

  explicit ResampleShape(const ResampleProblem& p) : inner(static_cast<I>(p.inner)) {
    for (int d = 0; d < 3; ++d) {
      axes[d] = Resampling<I>(p.axes[d]);
      in[d] = axes[d].in, out[d] = axes[d].out;
    }
  }
};

template <class F>
void with_shape(const ResampleProblem& p, const F& f) {
  constexpr std::int64_t kMost = std::int64_t{1} << 29;
  std::int64_t inputs = p.planes * p.inner, outputs = inputs;
  bool narrow = true;
  for (const Resampling<std::int64_t>& axis : p.axes) {
    inputs *= axis.in, outputs *= axis.out;
    narrow = narrow && (axis.in + 3) * axis.out <= kMost / 2;  // twice that are their numbers
  }
  if (narrow && inputs <= kMost && outputs <= kMost)
    f(ResampleShape<std::int32_t>(p));
  else
    f(ResampleShape<std::int64_t>(p));
}

template <class E, class I>
__global__ void resample_elements(ResampleShape<I> p, std::int64_t count, const E* x, E* y) {
  using T = compute_type<E>;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const I point = quotient(static_cast<I>(i), p.inner);
    const Place<I> o(point, p.out);
    const Taps<I> taps[3] = {p.axes[0].taps(o.at[0]), p.axes[1].taps(o.at[1]), p.axes[2].taps(o.at[2])};
    const E* from = x + (static_cast<I>(i) - point * p.inner);
    T sum{0};
    for (I a = 0; a < taps[0].count; ++a) {
      const T outer = p.axes[0].template weight<T>(taps[0], a);
      const I plane = o.plane * p.in[0] + p.axes[0].inside(taps[0].first + a);
      for (I b = 0; b < taps[1].count; ++b) {
        const T middle = outer * p.axes[1].template weight<T>(taps[1], b);
        const I row = (plane * p.in[1] + p.axes[1].inside(taps[1].first + b)) * p.in[2];
        for (I c = 0; c < taps[2].count; ++c) {
          const T weight = middle * p.axes[2].template weight<T>(taps[2], c);
          sum += weight * cast<T>(from[(row + p.axes[2].inside(taps[2].first + c)) * p.inner]);
        }
      }
    }
    y[i] = cast<E>(sum);
  }
}

template <class E, class I>
__global__ void resample_gradients(ResampleShape<I> p, std::int64_t count, const E* grad, E* dx) {
  using T = compute_type<E>;
  using Reach = typename Resampling<I>::Reach;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const I point = quotient(static_cast<I>(i), p.inner);
    const Place<I> at(point, p.in);
    const Reach reach[3] = {p.axes[0].reach(at.at[0]), p.axes[1].reach(at.at[1]), p.axes[2].reach(at.at[2])};
    const E* from = grad + (static_cast<I>(i) - point * p.inner);
    T sum{0};
    for (I a = reach[0].from; a < reach[0].until; ++a) {
      const T outer = p.axes[0].template weight_of<T>(at.at[0], a);
      for (I b = reach[1].from; b < reach[1].until; ++b) {
        const T middle = outer * p.axes[1].template weight_of<T>(at.at[1], b);
        const I row = ((at.plane * p.out[0] + a) * p.out[1] + b) * p.out[2];
        for (I c = reach[2].from; c < reach[2].until; ++c) {
          const T weight = middle * p.axes[2].template weight_of<T>(at.at[2], c);
          // What does not count is left out: it may be infinite.
          if (weight != T{0}) sum += weight * cast<T>(from[(row + c) * p.inner]);
        }
      }
    }
    dx[i] = cast<E>(sum);
  }
}

}  // namespace

void CudaBackend::resample(const ResampleProblem& problem, const Array& x, const Array& y) {
  if (y.numel() == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    with_shape(problem, [&]<class I>(const ResampleShape<I>& shape) {
      using E = decltype(zero);
      launch(*this, blocks_for(*this, y.numel()), kThreads, resample_elements<E, I>, shape, y.numel(), elements<E>(x),
             elements<E>(y));
    });
  });
}

void CudaBackend::resample_gradient(const ResampleProblem& problem, const Array& grad, const Array& dx) {
  if (dx.numel() == 0) return;
  visit_floating(grad.dtype(), [&](auto zero) {
    with_shape(problem, [&]<class I>(const ResampleShape<I>& shape) {
      using E = decltype(zero);
      launch(*this, blocks_for(*this, dx.numel()), kThreads, resample_gradients<E, I>, shape, dx.numel(),
             elements<E>(grad), elements<E>(dx));
    });
  });
}

}  // namespace mnemo::cuda
