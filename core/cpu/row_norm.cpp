// row_norm: the statistics of one row after the other, and what they make of its elements.
#include <cmath>
#include <limits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/row_lines.h>
#include <mnemo/core/normalize_lines.h>

namespace mnemo::cpu {

namespace {

struct Statistics {
  double mean, variance;
  double squares;  ///< the mean of the distances' squares
};

/// Of `count` elements, from their distances to `center`: few of these and of their squares are added in P.
template <class P, class E>
Statistics statistics_from(P center, const E* x, std::int64_t count) {
  double sums[2] = {};
  add_in_few<P>(count, sums, [=](std::int64_t i, P(&few)[2]) {
    const P distance = static_cast<P>(cast<compute_type<E>>(x[i])) - center;
    few[0] += distance, few[1] += distance * distance;
  });
  const double share = 1 / static_cast<double>(count), distance = sums[0] * share, squares = sums[1] * share;
  return {static_cast<double>(center) + distance, std::max(squares - distance * distance, 0.0), squares};
}

/// The same, in one pass from the mean of the first elements, which lies among the others however far they are from 0;
/// unless it lies so far outside that digits of the squares cancel.
template <class P, class E>
Statistics statistics_of(const E* x, std::int64_t count) {
  constexpr std::int64_t kFirst = 16;
  constexpr double kFar = 2;  // times the variance: what the digits of the squares lose at most
  const std::int64_t first = std::min(count, kFirst);
  P center = 0;
  for (std::int64_t i = 0; i < first; ++i)
    center += static_cast<P>(cast<compute_type<E>>(x[i])) * (1 / static_cast<P>(first));
  const Statistics found = statistics_from(center, x, count);
  return found.squares <= kFar * found.variance ? found : statistics_from(static_cast<P>(found.mean), x, count);
}

template <class P, class E>
Statistics statistics_of(const RowNormCall& call, const E* x) {
  if (call.centered) return statistics_of<P>(x, call.sizes.features);
  const double squares = statistics_from(P{0}, x, call.sizes.features).squares;
  return {0, squares, squares};
}

/// The mean and the inverse deviation of a row, rounded as they are kept.
template <class E>
RowNormLine<compute_type<E>> line_of(const RowNormCall& call, std::int64_t row) {
  using T = compute_type<E>;
  if (call.sizes.features == 0) return {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::quiet_NaN()};
  const E* x = call.x.data<E>() + row * call.sizes.features;
  Statistics found = statistics_of<T>(call, x);
  // Squares of floats may have left their range: then once more in double.
  constexpr double kLeast = 1e-25, kMost = std::numeric_limits<double>::max();
  const double spread = found.variance + call.epsilon;
  if (sizeof(T) < sizeof(double) && !(spread >= kLeast && spread <= kMost)) found = statistics_of<double>(call, x);
  return {static_cast<T>(found.mean), static_cast<T>(1 / std::sqrt(found.variance + call.epsilon))};
}

template <class E, class W>
void normalize_rows(const RowNormCall& call) {
  using T = compute_type<E>;
  const Numbers<T, W> weights(call.weight, 1), biases(call.bias, 0);
  const bool one = call.sizes.inner > 1;
  const auto normalize = [&](std::int64_t row) {
    const auto line = line_of<E>(call, row);
    if (call.centered) call.mean.data<T>()[row] = line.mean;
    call.inverse_deviation.data<T>()[row] = line.inverse_deviation;
    for_each_run(call.sizes, row, [&](std::int64_t place, std::int64_t length, std::int64_t channel) {
      const E* x = call.x.data<E>() + place;
      E* y = call.y.data<E>() + place;
      weights.visit(channel, one, [&](const auto& weight) {
        biases.visit(channel, one, [&](const auto& bias) {
          MNEMO_INDEPENDENT
          for (std::int64_t i = 0; i < length; ++i) y[i] = cast<E>(line(cast<T>(x[i]), weight(i), bias(i)));
        });
      });
    });
  };
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, call.sizes.features));
  parallel_for(call.sizes.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) normalize(row);
  });
}

}  // namespace

void CpuBackend::row_norm(const RowNormCall& call) {
  visit_floating(call.x.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) { normalize_rows<E, W>(call); });
}

}  // namespace mnemo::cpu
