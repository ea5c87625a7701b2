// cross_entropy and its gradient: a line of logits for each loss.
#include <cmath>
#include <limits>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

/// CrossEntropyCall as kernels take it. T: of the losses; the last three are null where they are undefined.
template <class T>
struct Targets {
  const std::int64_t* indices;
  std::int64_t ignored;
  double smoothing;
  const T *weights, *weight_sum;
  T* target_weights;
};

template <class T>
Targets<T> targets_of(const CrossEntropyCall& call, const Array& indices) {
  return {elements<std::int64_t>(indices),
          call.ignore_index,
          call.label_smoothing,
          elements<T>(call.weight),
          elements<T>(call.weight_sum),
          elements<T>(call.target_weights)};
}

// kWeighted: classes have weights. A kernel of its own, so that others need no registers for them.

// Targets and logits are read together, also where a target is ignored: a thread that waited for its target first would
// wait twice.

template <bool kWeighted, class E, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 3)  // enough registers for what is held
    losses_of_lines(Lines lines, Targets<compute_type<E>> targets, const E* logits, compute_type<E>* losses) {
  using T = compute_type<E>;
  for_each_line<kGroup>(lines, [&](std::int64_t line, std::int64_t begin, int member) {
    const std::int64_t target = targets.indices[line];
    Share<E, kGroup, V> share(lines, logits + begin, member);
    // What no class has the number of may come while a step is recorded, when nobody looks: it must not be read.
    const bool known = target >= 0 && target < lines.size;
    const T wanted = known ? cast<T>(logits[begin + target * lines.inner]) : std::numeric_limits<T>::quiet_NaN();
    const Normalizer<E> n(share, true, [](T distance, T) { return distance; });
    const T log_sum = n.log_sum();
    double loss = static_cast<double>(log_sum) - static_cast<double>(wanted - n.top);
    T weight = 1;
    if constexpr (kWeighted) weight = known ? targets.weights[target] : std::numeric_limits<T>::quiet_NaN();
    loss *= static_cast<double>(weight);
    if (targets.smoothing != 0) {  // else an infinite logit elsewhere must not matter
      double all = 0;
      share.visit_numbered([&](const T(&values)[V], std::int64_t c, bool stays) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          double part = static_cast<double>(log_sum) - static_cast<double>(stays ? values[j] : values[j] - n.top);
          if constexpr (kWeighted) part *= static_cast<double>(targets.weights[c + j]);
          all += part;
        }
      });
      all = group_join<kGroup, Plus>(all, 0.0);
      loss = (1 - targets.smoothing) * loss + targets.smoothing / static_cast<double>(lines.size) * all;
    }
    if (member != 0) return;
    const bool ignored = target == targets.ignored;
    losses[line] = ignored ? T{0} : static_cast<T>(loss);
    if constexpr (kWeighted) {
      if (targets.target_weights != nullptr) targets.target_weights[line] = ignored ? T{0} : weight;
    }
  });
}

/// grads: of every loss, or one for all; either times `scale`.
template <bool kWeighted, class E, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 3)
    gradients_of_lines(Lines lines, Targets<compute_type<E>> targets, const compute_type<E>* grads, bool one_grad,
                       double scale, const E* logits, E* dlogits) {
  using T = compute_type<E>;
  const T smooth = static_cast<T>(targets.smoothing / static_cast<double>(lines.size));
  const T expected = static_cast<T>(1 - targets.smoothing);
  for_each_line<kGroup>(lines, [&](std::int64_t line, std::int64_t begin, int member) {
    const std::int64_t target = targets.indices[line];
    const T grad = grads[one_grad ? 0 : line] * static_cast<T>(scale);
    Share<E, kGroup, V> share(lines, logits + begin, member);
    const Normalizer<E> n(share, false, [](T, T power) { return power; });
    T share_of_one = n.share_of_one();
    if constexpr (kWeighted) {  // all that is expected of the classes, which is 1 without weights
      const bool known = target >= 0 && target < lines.size;
      T all = expected * (known ? targets.weights[target] : T{0});
      if (targets.smoothing != 0) all += smooth * *targets.weight_sum;
      share_of_one *= all;
    }
    const bool ignored = target == targets.ignored;
    share.write(dlogits + begin, [&](T(&values)[V], std::int64_t c, bool stays) {
      const int hit = target >= c && target < c + V ? static_cast<int>(target - c) : -1;
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const T power = stays ? values[j] : exponential<E>(values[j] - n.top);
        T wanted = (j == hit ? expected : T{0}) + smooth;
        if constexpr (kWeighted) wanted *= targets.weights[c + j];
        const T gradient = grad * (power * share_of_one - wanted);
        values[j] = ignored ? T{0} : gradient;
      }
    });
  });
}

}  // namespace

void CudaBackend::cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                                const Array& losses) {
  const Lines lines{call.outer, call.classes, call.inner};
  if (lines.count() == 0) return;
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const auto wanted = targets_of<compute_type<E>>(call, targets);
    with_group<E>(*this, lines, is_aligned(logits), [&](auto group, auto width, unsigned blocks, int threads) {
      constexpr int kGroup = decltype(group)::value, V = decltype(width)::value;
      launch(*this, blocks, static_cast<unsigned>(threads),
             call.weight.defined() ? losses_of_lines<true, E, kGroup, V> : losses_of_lines<false, E, kGroup, V>, lines,
             wanted, elements<E>(logits), elements<compute_type<E>>(losses));
    });
  });
}

void CudaBackend::cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                         const Array& targets, const Array& dlogits) {
  const Lines lines{call.outer, call.classes, call.inner};
  if (lines.count() * lines.size == 0) return;
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const bool aligned = is_aligned(logits) && is_aligned(dlogits);
    const auto wanted = targets_of<compute_type<E>>(call, targets);
    with_group<E>(*this, lines, aligned, [&](auto group, auto width, unsigned blocks, int threads) {
      constexpr int kGroup = decltype(group)::value, V = decltype(width)::value;
      launch(*this, blocks, static_cast<unsigned>(threads),
             call.weight.defined() ? gradients_of_lines<true, E, kGroup, V> : gradients_of_lines<false, E, kGroup, V>,
             lines, wanted, elements<compute_type<E>>(grad), grad.numel() == 1, call.scale, elements<E>(logits),
             elements<E>(dlogits));
    });
  });
}

}  // namespace mnemo::cuda
