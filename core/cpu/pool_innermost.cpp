// pool and its gradient with the channels innermost: a window at a time, its channels side by side. Values are those of
// the row-major way, bit for bit: elements are taken in the same order.
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/pool.h>

namespace mnemo::cpu {

namespace {

using Kind = PoolProblem::Kind;

constexpr std::int64_t kPiece = 256;  ///< channels that are computed side by side

/// body(plane, place along axis 0, place along axis 1) for all lines of the innermost axis, on several threads.
template <class Body>
void for_each_line(const PoolProblem& p, const Size3& sizes, const Body& body) {
  const std::int64_t work = p.kernel[0] * p.kernel[1] * p.kernel[2] * std::max<std::int64_t>(1, sizes[2]) * p.inner;
  parallel_for(p.planes * sizes[0] * sizes[1], std::max<std::int64_t>(1, 32768 / work),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t line = begin; line < end; ++line) {
                   const std::int64_t row = line / sizes[1];
                   body(row / sizes[0], row % sizes[0], line % sizes[1]);
                 }
               });
}

/// One output place: its windows, and where it lies.
struct Target {
  Window window[3];
  std::int64_t image = 0, place = 0;  ///< first element of its image and of itself
};

template <class E, class Offset>
void pool_place(const PoolProblem& p, const Target& at, const E* x, E* y, Offset* offsets) {
  using T = compute_type<E>;
  const Window &w0 = at.window[0], &w1 = at.window[1], &w2 = at.window[2];
  const std::int64_t divisor = w0.divisor * w1.divisor * w2.divisor;
  for (std::int64_t begin = 0; begin < p.inner; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, p.inner - begin);
    T values[kPiece];
    std::int32_t places[kPiece];
    std::fill_n(values, count, p.kind == Kind::max ? -std::numeric_limits<T>::infinity() : T{0});
    std::fill_n(places, count, -1);
    for (std::int64_t a = w0.from; a < w0.until; ++a) {
      for (std::int64_t b = w1.from; b < w1.until; ++b) {
        const std::int64_t line = (w0.start + a * p.dilation[0]) * p.in[1] + w1.start + b * p.dilation[1];
        for (std::int64_t c = w2.from; c < w2.until; ++c) {
          const std::int64_t i = line * p.in[2] + w2.start + c * p.dilation[2];
          const E* elements = x + at.image + i * p.inner + begin;
          if (p.kind == Kind::max) {
            const auto tap = static_cast<std::int32_t>((a * p.kernel[1] + b) * p.kernel[2] + c);
            take_larger(elements, 1, count, tap, values, places);
          } else {
            for (std::int64_t j = 0; j < count; ++j) values[j] += cast<T>(elements[j]);
          }
        }
      }
    }
    E* out = y + at.place + begin;
    if (p.kind == Kind::average) {
      for (std::int64_t j = 0; j < count; ++j)
        out[j] = cast<E>(divisor == 0 ? T{0} : values[j] / static_cast<T>(divisor));
      continue;
    }
    for (std::int64_t j = 0; j < count; ++j) out[j] = cast<E>(values[j]);
    for (std::int64_t j = 0; offsets != nullptr && j < count; ++j)
      offsets[at.place + begin + j] = static_cast<Offset>(std::max(places[j], 0));
  }
}

/// The outputs along an axis whose windows have element i, and with which tap: body(output, tap).
template <class Body>
void for_each_output(const PoolProblem& p, std::size_t d, std::int64_t i, bool backwards, const Body& body) {
  const std::int64_t reach = (p.kernel[d] - 1) * p.dilation[d], low = i + p.padding[d] - reach;
  const std::int64_t from = low <= 0 ? 0 : (low + p.stride[d] - 1) / p.stride[d];
  const std::int64_t until = std::min(p.out[d], (i + p.padding[d]) / p.stride[d] + 1);
  for (std::int64_t step = 0; step < until - from; ++step) {
    const std::int64_t o = backwards ? until - 1 - step : from + step;
    const std::int64_t distance = i + p.padding[d] - o * p.stride[d];
    if (distance % p.dilation[d] == 0) body(o, distance / p.dilation[d]);
  }
}

/// Collects what the windows send to the channels of one input place.
template <class E, class Offset>
void collect_place(const PoolProblem& p, std::int64_t plane, const Size3& i, const E* grad, const Offset* offsets,
                   E* dx) {
  using T = compute_type<E>;
  // The order in which the row-major way adds up: types that are computed in as they are come output by output, an
  // average tap by tap in a line; halves come tap by tap of the outer axes.
  constexpr bool kHalf = !std::is_same_v<E, T>;
  const bool taps_in_line = !kHalf && p.kind == Kind::average;
  for (std::int64_t begin = 0; begin < p.inner; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, p.inner - begin);
    T sums[kPiece] = {};
    for_each_output(p, 0, i[0], kHalf, [&](std::int64_t o0, std::int64_t a) {
      for_each_output(p, 1, i[1], kHalf, [&](std::int64_t o1, std::int64_t b) {
        for_each_output(p, 2, i[2], taps_in_line, [&](std::int64_t o2, std::int64_t c) {
          const std::int64_t place = ((plane * p.out[0] + o0) * p.out[1] + o1) * p.out[2] + o2;
          const E* from = grad + place * p.inner + begin;
          if (p.kind == Kind::max) {
            const Offset* places = offsets + place * p.inner + begin;
            const auto tap = static_cast<Offset>((a * p.kernel[1] + b) * p.kernel[2] + c);
            for (std::int64_t j = 0; j < count; ++j) sums[j] += places[j] == tap ? cast<T>(from[j]) : T{0};
            return;
          }
          const std::int64_t divisor = window(p, 0, o0).divisor * window(p, 1, o1).divisor * window(p, 2, o2).divisor;
          const T share = static_cast<T>(std::max<std::int64_t>(1, divisor));
          for (std::int64_t j = 0; j < count; ++j) sums[j] += cast<T>(from[j]) / share;
        });
      });
    });
    for (std::int64_t j = 0; j < count; ++j) dx[begin + j] = cast<E>(sums[j]);
  }
}

/// body(zero of the element type, zero of the offset type)
template <class Body>
void visit_types(const PoolProblem& p, DType dtype, const Body& body) {
  visit_floating(dtype, [&](auto zero) {
    if (p.offset_dtype() == DType::uint8)
      body(zero, std::uint8_t{});
    else
      body(zero, std::int32_t{});
  });
}

}  // namespace

void pool_innermost(const PoolProblem& p, const Array& x, const Array& y, const Array& offsets) {
  visit_types(p, x.dtype(), [&]<class E, class Offset>(E, Offset) {
    Offset* places = offsets.defined() ? offsets.data<Offset>() : nullptr;
    for_each_line(p, p.out, [&](std::int64_t plane, std::int64_t o0, std::int64_t o1) {
      Target at{{window(p, 0, o0), window(p, 1, o1), {}}};
      at.image = plane * p.in[0] * p.in[1] * p.in[2] * p.inner;
      at.place = ((plane * p.out[0] + o0) * p.out[1] + o1) * p.out[2] * p.inner;
      for (std::int64_t o2 = 0; o2 < p.out[2]; ++o2, at.place += p.inner) {
        at.window[2] = window(p, 2, o2);
        pool_place(p, at, x.data<E>(), y.data<E>(), places);
      }
    });
  });
}

void pool_innermost_gradient(const PoolProblem& p, const Array& grad, const Array& offsets, const Array& dx) {
  visit_types(p, grad.dtype(), [&]<class E, class Offset>(E, Offset) {
    const Offset* places = offsets.defined() ? offsets.data<Offset>() : nullptr;
    for_each_line(p, p.in, [&](std::int64_t plane, std::int64_t i0, std::int64_t i1) {
      E* to = dx.data<E>() + ((plane * p.in[0] + i0) * p.in[1] + i1) * p.in[2] * p.inner;
      for (std::int64_t i2 = 0; i2 < p.in[2]; ++i2, to += p.inner)
        collect_place(p, plane, {i0, i1, i2}, grad.data<E>(), places, to);
    });
  });
}

}  // namespace mnemo::cpu
