// pool: line by line of the output, one tap after the other, so that neighbouring outputs are computed side by side.
#include <mnemo/core/cpu/pool.h>

#include <limits>

#include <mnemo/core/cpu/backend.h>

namespace mnemo::cpu {

namespace {

using Kind = PoolProblem::Kind;

constexpr std::int64_t kPiece = 256;  ///< outputs of a line that are computed side by side

/// One piece of a line of outputs in the making.
template <class T>
struct Piece {
  T values[kPiece];
  std::int32_t places[kPiece];
};

template <class E, class Offset>
void pool_plane(const PoolProblem& p, const E* x, E* y, Offset* offsets) {
  using T = compute_type<E>;
  Piece<T> piece;
  for (std::int64_t line = 0; line < p.out[0] * p.out[1]; ++line) {
    const Window w0 = window(p, 0, line / p.out[1]), w1 = window(p, 1, line % p.out[1]);
    for (std::int64_t begin = 0; begin < p.out[2]; begin += kPiece) {
      const std::int64_t count = std::min(kPiece, p.out[2] - begin);
      std::fill_n(piece.values, count, p.kind == Kind::max ? -std::numeric_limits<T>::infinity() : T{0});
      std::fill_n(piece.places, count, -1);
      for (std::int64_t a = w0.from; a < w0.until; ++a) {
        for (std::int64_t b = w1.from; b < w1.until; ++b) {
          const E* from = x + ((w0.start + a * p.dilation[0]) * p.in[1] + w1.start + b * p.dilation[1]) * p.in[2];
          for (std::int64_t c = 0; c < p.kernel[2]; ++c) {
            const Reach outputs = reach(p, 2, c);
            const std::int64_t first = std::max(outputs.begin, begin), last = std::min(outputs.end, begin + count);
            if (first >= last) continue;
            const E* elements = from + outputs.first + first * p.stride[2];
            T* values = piece.values + (first - begin);
            if (p.kind == Kind::max) {
              const auto tap = static_cast<std::int32_t>((a * p.kernel[1] + b) * p.kernel[2] + c);
              take_larger(elements, p.stride[2], last - first, tap, values, piece.places + (first - begin));
            } else {
              for (std::int64_t j = 0; j < last - first; ++j) values[j] += cast<T>(elements[j * p.stride[2]]);
            }
          }
        }
      }
      E* out = y + line * p.out[2] + begin;
      if (p.kind == Kind::max) {
        for (std::int64_t j = 0; j < count; ++j) out[j] = cast<E>(piece.values[j]);
        if (offsets == nullptr) continue;
        Offset* places = offsets + line * p.out[2] + begin;
        for (std::int64_t j = 0; j < count; ++j) places[j] = static_cast<Offset>(std::max(piece.places[j], 0));
      } else {
        for (std::int64_t j = 0; j < count; ++j) {
          const std::int64_t divisor = w0.divisor * w1.divisor * window(p, 2, begin + j).divisor;
          out[j] = cast<E>(divisor == 0 ? T{0} : piece.values[j] / static_cast<T>(divisor));
        }
      }
    }
  }
}

}  // namespace

void CpuBackend::pool(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets) {
  if (problem.inner > 1) return pool_innermost(problem, x, y, offsets);
  const std::int64_t in = problem.in[0] * problem.in[1] * problem.in[2];
  const std::int64_t out = problem.out[0] * problem.out[1] * problem.out[2];
  for_each_plane(problem, x.dtype(), [&](auto zero, auto offset, std::int64_t plane) {
    using E = decltype(zero);
    using Offset = decltype(offset);
    pool_plane(problem, x.data<E>() + plane * in, y.data<E>() + plane * out,
               offsets.defined() ? offsets.data<Offset>() + plane * out : nullptr);
  });
}

}  // namespace mnemo::cpu
