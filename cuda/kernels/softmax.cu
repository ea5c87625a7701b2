// softmax and its gradient, line by line.
#include <cmath>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

template <class E, int kGroup, int V>
__global__ void __launch_bounds__(kThreads) softmax_lines(Lines lines, bool logarithm, const E* x, E* y) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    const Share<E, kGroup, V> share(lines, x + begin, member);
    const Normalizer<T> n(share);
    const T scale = logarithm ? n.log_sum() : n.share_of_one();
    share.write(y + begin, [&](std::int64_t, T value) {
      const T relative = value - n.top;
      return logarithm ? relative - scale : std::exp(relative) * scale;
    });
  });
}

template <class E, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 2)  // two blocks at once: one computes while the other loads
    softmax_gradient_lines(Lines lines, bool logarithm, const E* grad, const E* y, E* dx) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    const Share<E, kGroup, V> grads(lines, grad + begin, member), results(lines, y + begin, member);
    double sum = 0;
    grads.visit(results, [&](std::int64_t, T g, T value) {
      sum += logarithm ? static_cast<double>(g) : static_cast<double>(g) * static_cast<double>(value);
    });
    const T total = static_cast<T>(group_join<kGroup, Plus>(sum, 0.0));
    grads.write(results, dx + begin, [&](std::int64_t, T g, T value) {
      return logarithm ? g - std::exp(value) * total : value * (g - total);
    });
  });
}

}  // namespace

void CudaBackend::softmax(const SoftmaxCall& call, const Array& x, const Array& y) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group<E>(*this, lines, is_aligned(x) && is_aligned(y), [&](auto group, auto width, unsigned blocks) {
      launch(*this, blocks, kThreads, softmax_lines<E, decltype(group)::value, decltype(width)::value>, lines,
             call.logarithm, elements<E>(x), elements<E>(y));
    });
  });
}

void CudaBackend::softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(y.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const bool aligned = is_aligned(grad) && is_aligned(y) && is_aligned(dx);
    with_group<E>(*this, lines, aligned, [&](auto group, auto width, unsigned blocks) {
      launch(*this, blocks, kThreads, softmax_gradient_lines<E, decltype(group)::value, decltype(width)::value>, lines,
             call.logarithm, elements<E>(grad), elements<E>(y), elements<E>(dx));
    });
  });
}

}  // namespace mnemo::cuda
