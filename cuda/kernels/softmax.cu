// softmax and its gradient, line by line.
#include <cmath>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

template <class E, int kGroup>
__global__ void softmax_lines(Lines lines, bool logarithm, const E* x, E* y) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    const auto n = Normalizer<T>::template of<kGroup>(lines, x + begin, member);
    const T scale = static_cast<T>(logarithm ? std::log(n.sum) : 1 / n.sum);
    for (std::int64_t i = member; i < lines.size; i += kGroup) {
      const T relative = cast<T>(x[begin + i * lines.inner]) - n.top;
      y[begin + i * lines.inner] = cast<E>(logarithm ? relative - scale : std::exp(relative) * scale);
    }
  });
}

template <class E, int kGroup>
__global__ void softmax_gradient_lines(Lines lines, bool logarithm, const E* grad, const E* y, E* dx) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    double sum = 0;
    for (std::int64_t i = member; i < lines.size; i += kGroup) {
      const auto g = static_cast<double>(cast<T>(grad[begin + i * lines.inner]));
      sum += logarithm ? g : g * static_cast<double>(cast<T>(y[begin + i * lines.inner]));
    }
    const T total = static_cast<T>(group_join<kGroup, Plus>(sum, 0.0));
    for (std::int64_t i = member; i < lines.size; i += kGroup) {
      const T g = cast<T>(grad[begin + i * lines.inner]), value = cast<T>(y[begin + i * lines.inner]);
      dx[begin + i * lines.inner] = cast<E>(logarithm ? g - std::exp(value) * total : value * (g - total));
    }
  });
}

}  // namespace

void CudaBackend::softmax(const SoftmaxCall& call, const Array& x, const Array& y) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group(*this, lines, [&](auto group, unsigned blocks) {
      launch(*this, blocks, kThreads, softmax_lines<E, decltype(group)::value>, lines, call.logarithm, elements<E>(x),
             elements<E>(y));
    });
  });
}

void CudaBackend::softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(y.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group(*this, lines, [&](auto group, unsigned blocks) {
      launch(*this, blocks, kThreads, softmax_gradient_lines<E, decltype(group)::value>, lines, call.logarithm,
             elements<E>(grad), elements<E>(y), elements<E>(dx));
    });
  });
}

}  // namespace mnemo::cuda
