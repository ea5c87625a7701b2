#include <cmath>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/line_tiles.h>

namespace mnemo::cpu {

namespace {

template <class E>
void softmax_tile(const SoftmaxCall& call, const LineTile& tile, const E* x, E* y) {
  using T = compute_type<E>;
  constexpr bool whole = std::is_same_v<E, T>;  // a half would round twice: its exponential is computed again
  T tops[kLanes];
  find_tops(tile, x, tops);
  const auto exponential = [&](std::int64_t lane, std::int64_t i) {
    return elementary::exp(static_cast<T>(cast<T>(x[i]) - tops[lane]));
  };
  double sums[kLanes];
  if (whole && !call.logarithm) {
    sum_lines(tile, sums, [&](std::int64_t lane, std::int64_t i) {
      const T value = exponential(lane, i);
      y[i] = cast<E>(value);
      return value;
    });
  } else {
    sum_lines(tile, sums, exponential);
  }
  T numbers[kLanes];  // what is taken off a logarithm, or the factor of an exponential
  for (std::int64_t c = 0; c < tile.width; ++c) {
    numbers[c] = static_cast<T>(call.logarithm ? std::log(sums[c]) : 1 / sums[c]);
  }
  tile.spread(numbers);
  if (call.logarithm) {
    tile.visit([&](std::int64_t lane, std::int64_t i) {
      y[i] = cast<E>(static_cast<T>(cast<T>(x[i]) - tops[lane] - numbers[lane]));
    });
  } else if constexpr (whole) {
    tile.visit([&](std::int64_t lane, std::int64_t i) { y[i] *= numbers[lane]; });
  } else {
    tile.visit([&](std::int64_t lane, std::int64_t i) { y[i] = cast<E>(exponential(lane, i) * numbers[lane]); });
  }
}

template <class E>
void softmax_gradient_tile(const SoftmaxCall& call, const LineTile& tile, const E* grad, const E* y, E* dx) {
  using T = compute_type<E>;
  double sums[kLanes];
  T totals[kLanes];
  const auto finish = [&](const auto& term, const auto& gradient) {
    sum_lines(tile, sums, [&](std::int64_t, std::int64_t i) {
      return term(static_cast<double>(cast<T>(grad[i])), static_cast<double>(cast<T>(y[i])));
    });
    for (std::int64_t c = 0; c < tile.width; ++c) totals[c] = static_cast<T>(sums[c]);
    tile.spread(totals);
    tile.visit([&](std::int64_t lane, std::int64_t i) {
      dx[i] = cast<E>(static_cast<T>(gradient(cast<T>(grad[i]), cast<T>(y[i]), totals[lane])));
    });
  };
  if (call.logarithm) {
    finish([](double g, double) { return g; },
           [](T g, T value, T total) { return g - elementary::exp(value) * total; });
  } else {
    finish([](double g, double value) { return g * value; }, [](T g, T value, T total) { return value * (g - total); });
  }
}

}  // namespace

void CpuBackend::softmax(const SoftmaxCall& call, const Array& x, const Array& y) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line_tile(call.outer, call.size, call.inner, call.rows > 0, [&](LineTile tile) {
      if (call.rows > 0) {  // which is one line
        E* line = y.data<E>() + tile.start;
        tile.length = call.counted(tile.first);
        std::fill(line + tile.length, line + call.size, cast<E>(0.0F));
      }
      softmax_tile(call, tile, x.data<E>(), y.data<E>());
    });
  });
}

void CpuBackend::softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) {
  visit_floating(y.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line_tile(call.outer, call.size, call.inner, call.rows > 0, [&](const LineTile& tile) {
      softmax_gradient_tile(call, tile, grad.data<E>(), y.data<E>(), dx.data<E>());
    });
  });
}

}  // namespace mnemo::cpu
