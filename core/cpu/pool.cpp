#include <array>
#include <limits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

using Kind = PoolProblem::Kind;

/// What one output place sees along one axis: its first element, and the taps [from, until) that lie inside the input.
struct Window {
  std::int64_t start = 0, from = 0, until = 0;
  std::int64_t divisor = 0;  ///< taps that an average counts
};

Window window(const PoolProblem& p, std::size_t d, std::int64_t place) {
  const std::int64_t dilation = p.dilation[d];
  Window result;
  result.start = place * p.stride[d] - p.padding[d];
  // Taps t with start + t * dilation < bound.
  auto taps_below = [&](std::int64_t bound) {
    if (bound <= result.start) return std::int64_t{0};
    if (dilation == 1) return std::min(p.kernel[d], bound - result.start);  // no division in the usual case
    return std::min(p.kernel[d], (bound - result.start - 1) / dilation + 1);
  };
  result.from = taps_below(0);
  result.until = std::max(result.from, taps_below(p.in[d]));
  result.divisor = p.count_include_pad ? taps_below(p.in[d] + p.padding[d]) : result.until - result.from;
  return result;
}

/// Calls visit(offset in the window, element of the plane) for every tap inside the input, row-major.
template <class Visit>
void visit_window(const PoolProblem& p, const std::array<Window, 3>& w, const Visit& visit) {
  for (std::int64_t a = w[0].from; a < w[0].until; ++a) {
    for (std::int64_t b = w[1].from; b < w[1].until; ++b) {
      const std::int64_t line = ((w[0].start + a * p.dilation[0]) * p.in[1] + w[1].start + b * p.dilation[1]) * p.in[2];
      const std::int64_t tap = (a * p.kernel[1] + b) * p.kernel[2];
      for (std::int64_t c = w[2].from; c < w[2].until; ++c) visit(tap + c, line + w[2].start + c * p.dilation[2]);
    }
  }
}

template <class E, class Offset>
void pool_plane(const PoolProblem& p, const E* x, E* y, Offset* offsets) {
  using T = compute_type<E>;
  std::int64_t out = 0;
  std::array<Window, 3> w;
  for (std::int64_t o0 = 0; o0 < p.out[0]; ++o0) {
    w[0] = window(p, 0, o0);
    for (std::int64_t o1 = 0; o1 < p.out[1]; ++o1) {
      w[1] = window(p, 1, o1);
      for (std::int64_t o2 = 0; o2 < p.out[2]; ++o2, ++out) {
        w[2] = window(p, 2, o2);
        if (p.kind == Kind::average) {
          T sum = 0;
          visit_window(p, w, [&](std::int64_t, std::int64_t at) { sum += cast<T>(x[at]); });
          const std::int64_t divisor = w[0].divisor * w[1].divisor * w[2].divisor;
          y[out] = cast<E>(divisor == 0 ? T{0} : sum / static_cast<T>(divisor));
          continue;
        }
        T best = -std::numeric_limits<T>::infinity();
        // The first element wins at first, so that a window of minus infinities has an offset inside the input.
        std::int64_t place = -1;
        visit_window(p, w, [&](std::int64_t tap, std::int64_t at) {
          const T value = cast<T>(x[at]);
          if (place < 0 || value > best || (value != value && best == best)) {
            best = value;
            place = tap;
          }
        });
        y[out] = cast<E>(best);
        if (offsets != nullptr) offsets[out] = static_cast<Offset>(std::max<std::int64_t>(place, 0));
      }
    }
  }
}

/// The gradient by lines of the input: sums of up to kPiece elements are collected in the type that is computed in.
template <class E, class Offset>
class PoolGradient {
 public:
  PoolGradient(const PoolProblem& problem, const E* grad, const Offset* offsets, E* dx)
      : p_(problem), grad_(grad), offsets_(offsets), dx_(dx) {}

  void fill_plane() const {
    for (std::int64_t i0 = 0; i0 < p_.in[0]; ++i0) {
      for (std::int64_t i1 = 0; i1 < p_.in[1]; ++i1) {
        for (std::int64_t i2 = 0; i2 < p_.in[2]; i2 += kPiece) fill_piece(i0, i1, i2, std::min(kPiece, p_.in[2] - i2));
      }
    }
  }

 private:
  using T = compute_type<E>;
  static constexpr std::int64_t kPiece = 512;

  void fill_piece(std::int64_t i0, std::int64_t i1, std::int64_t begin, std::int64_t count) const {
    T sums[kPiece] = {};
    for (std::int64_t a = 0; a < p_.kernel[0]; ++a) {
      const std::int64_t o0 = place(0, a, i0);
      if (o0 < 0) continue;
      for (std::int64_t b = 0; b < p_.kernel[1]; ++b) {
        const std::int64_t o1 = place(1, b, i1);
        if (o1 >= 0) add_line(o0, o1, (a * p_.kernel[1] + b) * p_.kernel[2], begin, count, sums);
      }
    }
    E* to = dx_ + (i0 * p_.in[1] + i1) * p_.in[2] + begin;
    for (std::int64_t i = 0; i < count; ++i) to[i] = cast<E>(sums[i]);
  }

  /// The output whose window has element i at tap t, or -1.
  std::int64_t place(std::size_t d, std::int64_t tap, std::int64_t i) const {
    const std::int64_t distance = i + p_.padding[d] - tap * p_.dilation[d];
    if (distance < 0 || distance % p_.stride[d] != 0 || distance / p_.stride[d] >= p_.out[d]) return -1;
    return distance / p_.stride[d];
  }

  /// Adds what one line of outputs sends to taps [tap, tap + kernel[2]) of elements [begin, begin + count).
  void add_line(std::int64_t o0, std::int64_t o1, std::int64_t tap, std::int64_t begin, std::int64_t count, T* sums) const {
    const std::int64_t reach = (p_.kernel[2] - 1) * p_.dilation[2];
    const std::int64_t low = begin + p_.padding[2] - reach;
    const std::int64_t first = low <= 0 ? 0 : (low + p_.stride[2] - 1) / p_.stride[2];
    const std::int64_t end = std::min(p_.out[2], (begin + count - 1 + p_.padding[2]) / p_.stride[2] + 1);
    const std::int64_t line = (o0 * p_.out[1] + o1) * p_.out[2];
    const std::int64_t lines = p_.kind == Kind::max ? 1 : window(p_, 0, o0).divisor * window(p_, 1, o1).divisor;
    for (std::int64_t o = first; o < end; ++o) {
      const T grad = cast<T>(grad_[line + o]);
      const std::int64_t at = o * p_.stride[2] - p_.padding[2] - begin;
      if (p_.kind == Kind::max) {
        const std::int64_t t = static_cast<std::int64_t>(offsets_[line + o]) - tap;
        const std::int64_t i = at + t * p_.dilation[2];
        if (t >= 0 && t < p_.kernel[2] && i >= 0 && i < count) sums[i] += grad;
        continue;
      }
      const Window w = window(p_, 2, o);
      const T share = grad / static_cast<T>(std::max<std::int64_t>(1, lines * w.divisor));
      for (std::int64_t t = w.from; t < w.until; ++t) {
        const std::int64_t i = at + t * p_.dilation[2];
        if (i >= 0 && i < count) sums[i] += share;
      }
    }
  }

  const PoolProblem& p_;
  const E* grad_;
  const Offset* offsets_;
  E* dx_;
};

/// Calls body(zero of the element type, zero of the offset type, plane) on several threads.
template <class Body>
void for_each_plane(const PoolProblem& p, DType dtype, const Body& body) {
  const std::int64_t work = std::max<std::int64_t>(1, p.kernel[0] * p.kernel[1] * p.kernel[2]) *
                            std::max<std::int64_t>(1, p.out[0] * p.out[1] * p.out[2]);
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / work);
  visit_floating(dtype, [&](auto zero) {
    parallel_for(p.planes, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane) {
        if (p.offset_dtype() == DType::uint8) {
          body(zero, std::uint8_t{}, plane);
        } else {
          body(zero, std::int32_t{}, plane);
        }
      }
    });
  });
}

}  // namespace

void CpuBackend::pool(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets) {
  const std::int64_t in = problem.in[0] * problem.in[1] * problem.in[2];
  const std::int64_t out = problem.out[0] * problem.out[1] * problem.out[2];
  for_each_plane(problem, x.dtype(), [&](auto zero, auto offset, std::int64_t plane) {
    using E = decltype(zero);
    using Offset = decltype(offset);
    pool_plane(problem, x.data<E>() + plane * in, y.data<E>() + plane * out,
               offsets.defined() ? offsets.data<Offset>() + plane * out : nullptr);
  });
}

void CpuBackend::pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx) {
  const std::int64_t in = problem.in[0] * problem.in[1] * problem.in[2];
  const std::int64_t out = problem.out[0] * problem.out[1] * problem.out[2];
  for_each_plane(problem, grad.dtype(), [&](auto zero, auto offset, std::int64_t plane) {
    using E = decltype(zero);
    using Offset = decltype(offset);
    const Offset* places = offsets.defined() ? offsets.data<Offset>() + plane * out : nullptr;
    PoolGradient<E, Offset>(problem, grad.data<E>() + plane * out, places, dx.data<E>() + plane * in).fill_plane();
  });
}

}  // namespace mnemo::cpu
