// softmax and its gradient, line by line.
#include <cmath>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

template <class E, int kGroup, int V, bool kCausal>
__global__ void __launch_bounds__(kThreads, 3) softmax_lines(Lines lines, SoftmaxCall call, const E* x, E* y) {
  using T = compute_type<E>;
  const bool logarithm = call.logarithm;
  for_each_line<kGroup>(lines, [&](std::int64_t line, std::int64_t begin, int member) {
    const std::int64_t counted = kCausal ? call.counted(line) : lines.size;
    Share<E, kGroup, V, kCausal> share(lines, x + begin, member, counted);
    const Normalizer<E> n(share, logarithm, [&](T distance, T power) { return logarithm ? distance : power; });
    const T scale = logarithm ? T{1} : n.share_of_one(), shift = logarithm ? -n.log_sum() : T{0};
    share.write(y + begin, [&](T(&values)[V], std::int64_t first, bool stays) {
#pragma unroll
      for (int j = 0; j < V; ++j) {
        if (!stays) {
          const T distance = values[j] - n.top;
          values[j] = logarithm ? distance : exponential<E>(distance);
        }
        values[j] = std::fma(values[j], scale, shift);
        if (kCausal && first + j >= counted) values[j] = 0;
      }
    });
  });
}

template <class E, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 2)  // two blocks at once: one computes while the other loads
    softmax_gradient_lines(Lines lines, bool logarithm, const E* grad, const E* y, E* dx) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    Share<E, kGroup, V> grads(lines, grad + begin, member), results(lines, y + begin, member);
    double sum = 0;
    grads.visit(results, [&](const T(&gs)[V], const T(&values)[V], std::int64_t) {
      std::conditional_t<sizeof(E) == 2, float, double> few = 0;  // conversions to double are slow
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const auto g = static_cast<decltype(few)>(gs[j]);
        few += logarithm ? g : g * static_cast<decltype(few)>(values[j]);
      }
      sum += static_cast<double>(few);
    });
    const T total = static_cast<T>(group_join<kGroup, Plus>(sum, 0.0));
    grads.write(results, dx + begin, [&](T(&gs)[V], const T(&values)[V], std::int64_t) {
#pragma unroll
      for (int j = 0; j < V; ++j)
        gs[j] = logarithm ? gs[j] - exponential<E>(values[j]) * total : values[j] * (gs[j] - total);
    });
  });
}

}  // namespace

void CudaBackend::softmax(const SoftmaxCall& call, const Array& x, const Array& y) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group<E>(
        *this, lines, is_aligned(x) && is_aligned(y), [&](auto group, auto width, unsigned blocks, int threads) {
          constexpr int kGroup = decltype(group)::value, kWidth = decltype(width)::value;
          const auto kernel =
              call.rows == 0 ? softmax_lines<E, kGroup, kWidth, false> : softmax_lines<E, kGroup, kWidth, true>;
          launch(*this, blocks, static_cast<unsigned>(threads), kernel, lines, call, elements<E>(x), elements<E>(y));
        });
  });
}

void CudaBackend::softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) {
  const Lines lines{call.outer, call.size, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(y.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const bool aligned = is_aligned(grad) && is_aligned(y) && is_aligned(dx);
    with_group<E>(*this, lines, aligned, [&](auto group, auto width, unsigned blocks, int threads) {
      launch(*this, blocks, static_cast<unsigned>(threads),
             softmax_gradient_lines<E, decltype(group)::value, decltype(width)::value>, lines, call.logarithm,
             elements<E>(grad), elements<E>(y), elements<E>(dx));
    });
  });
}

}  // namespace mnemo::cuda
