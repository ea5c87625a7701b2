// pool_gradient: what each output received goes back to the elements of its window.
#include <vector>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/pool.h>

namespace mnemo::cpu {

namespace {

using Kind = PoolProblem::Kind;

/// What is the same for every plane.
struct Geometry {
  std::vector<std::int64_t> distances;  ///< from a window's corner to each of its places, in elements of the plane
  std::vector<std::uint8_t>
      occupied;  ///< whether the window of each output of a line has an element: with dilation all may be padding

  explicit Geometry(const PoolProblem& p) {
    for (std::int64_t a = 0; a < p.kernel[0]; ++a) {
      for (std::int64_t b = 0; b < p.kernel[1]; ++b) {
        for (std::int64_t c = 0; c < p.kernel[2]; ++c) {
          distances.push_back((a * p.dilation[0] * p.in[1] + b * p.dilation[1]) * p.in[2] + c * p.dilation[2]);
        }
      }
    }
    for (std::int64_t o = 0; o < p.out[2]; ++o) {
      const Window w = window(p, 2, o);
      occupied.push_back(w.from < w.until);
    }
  }
};

/// The way of each output's gradient, added up in place: for element types that are computed in as they are.
template <class E, class Offset>
void scatter_plane(const PoolProblem& p, const Geometry& geometry, const E* grad, const Offset* offsets, E* dx) {
  std::fill_n(dx, p.in[0] * p.in[1] * p.in[2], E{0});
  for (std::int64_t line = 0; line < p.out[0] * p.out[1]; ++line, grad += p.out[2]) {
    const Window w0 = window(p, 0, line / p.out[1]), w1 = window(p, 1, line % p.out[1]);
    const std::int64_t corner = (w0.start * p.in[1] + w1.start) * p.in[2] - p.padding[2];  // of output 0's window
    if (p.kind == Kind::max) {
      const Offset* const places = offsets + line * p.out[2];
      const bool occupied = w0.from < w0.until && w1.from < w1.until;
      for (std::int64_t o = 0; occupied && o < p.out[2]; ++o) {
        if (!geometry.occupied[static_cast<std::size_t>(o)]) continue;
        dx[corner + o * p.stride[2] + geometry.distances[static_cast<std::size_t>(places[o])]] += grad[o];
      }
      continue;
    }
    for (std::int64_t c = 0; c < p.kernel[2]; ++c) {
      const Reach outputs = reach(p, 2, c);
      for (std::int64_t o = outputs.begin; o < outputs.end; ++o) {
        const std::int64_t divisor = w0.divisor * w1.divisor * window(p, 2, o).divisor;
        const E share = grad[o] / static_cast<E>(std::max<std::int64_t>(1, divisor));
        for (std::int64_t a = w0.from; a < w0.until; ++a) {
          for (std::int64_t b = w1.from; b < w1.until; ++b) {
            const std::int64_t place = (a * p.dilation[0] * p.in[1] + b * p.dilation[1]) * p.in[2] + c * p.dilation[2];
            dx[corner + o * p.stride[2] + place] += share;
          }
        }
      }
    }
  }
}

/// The gradient by lines of the input, for half types: sums of up to kPiece elements are collected in the type that is
/// computed in.
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
  void add_line(std::int64_t o0, std::int64_t o1, std::int64_t tap, std::int64_t begin, std::int64_t count,
                T* sums) const {
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

}  // namespace

void CpuBackend::pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx) {
  if (problem.inner > 1) return pool_innermost_gradient(problem, grad, offsets, dx);
  const std::int64_t in = problem.in[0] * problem.in[1] * problem.in[2];
  const std::int64_t out = problem.out[0] * problem.out[1] * problem.out[2];
  const Geometry geometry(problem);
  for_each_plane(problem, grad.dtype(), [&](auto zero, auto offset, std::int64_t plane) {
    using E = decltype(zero);
    using Offset = decltype(offset);
    const E* from = grad.data<E>() + plane * out;
    const Offset* places = offsets.defined() ? offsets.data<Offset>() + plane * out : nullptr;
    E* to = dx.data<E>() + plane * in;
    if constexpr (std::is_same_v<E, compute_type<E>>)
      scatter_plane(problem, geometry, from, places, to);
    else
      PoolGradient<E, Offset>(problem, from, places, to).fill_plane();
  });
}

}  // namespace mnemo::cpu
