#include <cmath>
#include <limits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Calls body(offset of the first element, number of the line) for every line of (outer, size, inner).
template <class Body>
void for_each_line(const SoftmaxCall& call, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, call.size));
  parallel_for(call.outer * call.inner, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      body(line / call.inner * call.size * call.inner + line % call.inner, line);
    }
  });
}

/// `size`: how many elements of the line count.
template <class E>
void softmax_line(const SoftmaxCall& call, std::int64_t size, const E* x, E* y) {
  using T = compute_type<E>;
  for (std::int64_t i = size; i < call.size; ++i) y[i * call.inner] = cast<E>(T{0});
  T top = -std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; i < size; ++i) top = std::max(top, cast<T>(x[i * call.inner]));
  double sum = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const T value = std::exp(cast<T>(x[i * call.inner]) - top);
    sum += static_cast<double>(value);
    // A half would round twice: there the exponential is computed again.
    if constexpr (std::is_same_v<E, T>) {
      if (!call.logarithm) y[i * call.inner] = value;
    }
  }
  if (call.logarithm) {
    const T shift = static_cast<T>(std::log(sum));
    for (std::int64_t i = 0; i < size; ++i)
      y[i * call.inner] = cast<E>(static_cast<T>(cast<T>(x[i * call.inner]) - top - shift));
    return;
  }
  const T scale = static_cast<T>(1 / sum);
  for (std::int64_t i = 0; i < size; ++i) {
    if constexpr (std::is_same_v<E, T>) {
      y[i * call.inner] *= scale;
    } else {
      y[i * call.inner] = cast<E>(std::exp(cast<T>(x[i * call.inner]) - top) * scale);
    }
  }
}

template <class E>
void softmax_gradient_line(const SoftmaxCall& call, const E* grad, const E* y, E* dx) {
  using T = compute_type<E>;
  double sum = 0;
  for (std::int64_t i = 0; i < call.size; ++i) {
    const auto g = static_cast<double>(cast<T>(grad[i * call.inner]));
    sum += call.logarithm ? g : g * static_cast<double>(cast<T>(y[i * call.inner]));
  }
  const T total = static_cast<T>(sum);
  for (std::int64_t i = 0; i < call.size; ++i) {
    const T g = cast<T>(grad[i * call.inner]), value = cast<T>(y[i * call.inner]);
    dx[i * call.inner] = cast<E>(call.logarithm ? g - std::exp(value) * total : value * (g - total));
  }
}

}  // namespace

void CpuBackend::softmax(const SoftmaxCall& call, const Array& x, const Array& y) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line(call, [&](std::int64_t at, std::int64_t line) {
      softmax_line(call, call.counted(line), x.data<E>() + at, y.data<E>() + at);
    });
  });
}

void CpuBackend::softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) {
  visit_floating(y.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line(call, [&](std::int64_t at, std::int64_t) {
      softmax_gradient_line(call, grad.data<E>() + at, y.data<E>() + at, dx.data<E>() + at);
    });
  });
}

}  // namespace mnemo::cpu
