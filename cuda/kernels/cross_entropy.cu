// cross_entropy and its gradient: a line of logits for each loss.
#include <cmath>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

/// CrossEntropyCall as kernels take it.
struct Targets {
  const std::int64_t* indices;
  std::int64_t ignored;
  double smoothing;
};

template <class E, int kGroup>
__global__ void losses_of_lines(Lines lines, Targets targets, const E* logits, compute_type<E>* losses) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t line, std::int64_t begin, int member) {
    const std::int64_t target = targets.indices[line];
    if (target == targets.ignored) {  // the same for the whole group
      if (member == 0) losses[line] = T{0};
      return;
    }
    const Share<E, kGroup> share(lines, logits + begin, member);
    const Normalizer<T> n(share);
    const double log_sum = std::log(n.sum);
    const auto loss_at = [&](T logit) { return log_sum - static_cast<double>(logit - n.top); };
    double all = 0;
    if (targets.smoothing != 0) {  // else an infinite logit elsewhere must not matter
      share.visit([&](std::int64_t, T logit) { all += loss_at(logit); });
      all = group_join<kGroup, Plus>(all, 0.0);
    }
    if (member != 0) return;
    const double loss = loss_at(cast<T>(logits[begin + target * lines.inner]));
    losses[line] =
        static_cast<T>(targets.smoothing == 0 ? loss
                                              : (1 - targets.smoothing) * loss +
                                                    targets.smoothing / static_cast<double>(lines.size) * all);
  });
}

template <class E, int kGroup>
__global__ void gradients_of_lines(Lines lines, Targets targets, const compute_type<E>* grads, const E* logits,
                                   E* dlogits) {
  using T = compute_type<E>;
  const T smooth = static_cast<T>(targets.smoothing / static_cast<double>(lines.size));
  const T expected = static_cast<T>(1 - targets.smoothing);
  for_each_line<kGroup>(lines, [&](std::int64_t line, std::int64_t begin, int member) {
    const std::int64_t target = targets.indices[line];
    if (target == targets.ignored) {
      for (std::int64_t c = member; c < lines.size; c += kGroup) dlogits[begin + c * lines.inner] = cast<E>(0.0F);
      return;
    }
    const T grad = grads[line];
    const Share<E, kGroup> share(lines, logits + begin, member);
    const Normalizer<T> n(share);
    const T scale = static_cast<T>(1 / n.sum);
    share.visit([&](std::int64_t c, T logit) {
      const T probability = std::exp(logit - n.top) * scale;
      dlogits[begin + c * lines.inner] =
          cast<E>(static_cast<T>(grad * (probability - ((c == target ? expected : T{0}) + smooth))));
    });
  });
}

}  // namespace

void CudaBackend::cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                                const Array& losses) {
  const Lines lines{call.outer, call.classes, call.inner};
  if (lines.count() == 0) return;
  const Targets wanted{elements<std::int64_t>(targets), call.ignore_index, call.label_smoothing};
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group(*this, lines, [&](auto group, unsigned blocks) {
      launch(*this, blocks, kThreads, losses_of_lines<E, decltype(group)::value>, lines, wanted, elements<E>(logits),
             elements<compute_type<E>>(losses));
    });
  });
}

void CudaBackend::cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                         const Array& targets, const Array& dlogits) {
  const Lines lines{call.outer, call.classes, call.inner};
  if (lines.count() * lines.size == 0) return;
  const Targets wanted{elements<std::int64_t>(targets), call.ignore_index, call.label_smoothing};
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    with_group(*this, lines, [&](auto group, unsigned blocks) {
      launch(*this, blocks, kThreads, gradients_of_lines<E, decltype(group)::value>, lines, wanted,
             elements<compute_type<E>>(grad), elements<E>(logits), elements<E>(dlogits));
    });
  });
}

}  // namespace mnemo::cuda
