#include <cassert>
#include <cmath>
#include <limits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Calls body(index of the loss, offset of its first logit).
template <class Body>
void for_each_loss(const CrossEntropyCall& call, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, call.classes));
  parallel_for(call.outer * call.inner, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i, i / call.inner * call.classes * call.inner + i % call.inner);
  });
}

/// The largest logit and the sum of exponentials relative to it.
template <class T>
struct Normalizer {
  T top = -std::numeric_limits<T>::infinity();
  double sum = 0;

  template <class E>
  Normalizer(const CrossEntropyCall& call, const E* logits) {
    for (std::int64_t c = 0; c < call.classes; ++c) top = std::max(top, cast<T>(logits[c * call.inner]));
    for (std::int64_t c = 0; c < call.classes; ++c)
      sum += static_cast<double>(std::exp(cast<T>(logits[c * call.inner]) - top));
  }
};

/// How much each class counts.
template <class T>
struct Weights {
  const T* values = nullptr;

  explicit Weights(const CrossEntropyCall& call) {
    if (call.weight.defined()) values = call.weight.data<T>();
  }
  T operator[](std::int64_t c) const { return values == nullptr ? T{1} : values[c]; }
};

template <class E>
double loss_of(const CrossEntropyCall& call, const E* logits, std::int64_t target) {
  using T = compute_type<E>;
  assert(target >= 0 && target < call.classes);
  const Normalizer<T> n(call, logits);
  const Weights<T> weights(call);
  const double log_sum = std::log(n.sum);
  auto part = [&](std::int64_t c) {
    return static_cast<double>(weights[c]) * (log_sum - static_cast<double>(cast<T>(logits[c * call.inner]) - n.top));
  };
  if (call.label_smoothing == 0) return part(target);  // an infinite logit elsewhere must not matter
  double all = 0;
  for (std::int64_t c = 0; c < call.classes; ++c) all += part(c);
  return (1 - call.label_smoothing) * part(target) + call.label_smoothing / static_cast<double>(call.classes) * all;
}

template <class E>
void gradient_of(const CrossEntropyCall& call, const E* logits, std::int64_t target, compute_type<E> grad, E* dlogits) {
  using T = compute_type<E>;
  assert(target >= 0 && target < call.classes);
  const Normalizer<T> n(call, logits);
  const Weights<T> weights(call);
  const T smooth = static_cast<T>(call.label_smoothing / static_cast<double>(call.classes));
  const T sharp = static_cast<T>(1 - call.label_smoothing);
  T scale = static_cast<T>(1 / n.sum);
  if (weights.values != nullptr) {  // all that is expected of the classes, which is 1 without weights
    scale *= sharp * weights[target] + (call.label_smoothing == 0 ? T{0} : smooth * *call.weight_sum.data<T>());
  }
  for (std::int64_t c = 0; c < call.classes; ++c) {
    const T expected = ((c == target ? sharp : T{0}) + smooth) * weights[c];
    const T share = std::exp(cast<T>(logits[c * call.inner]) - n.top) * scale;
    dlogits[c * call.inner] = cast<E>(static_cast<T>(grad * (share - expected)));
  }
}

}  // namespace

void CpuBackend::cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                               const Array& losses) {
  const std::int64_t* target = targets.data<std::int64_t>();
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    using T = compute_type<E>;
    for_each_loss(call, [&](std::int64_t i, std::int64_t at) {
      const bool ignored = target[i] == call.ignore_index;
      if (call.target_weights.defined())
        call.target_weights.data<T>()[i] = ignored ? T{0} : Weights<T>(call)[target[i]];
      losses.data<T>()[i] = ignored ? T{0} : static_cast<T>(loss_of(call, logits.data<E>() + at, target[i]));
    });
  });
}

void CpuBackend::cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                        const Array& targets, const Array& dlogits) {
  const std::int64_t* target = targets.data<std::int64_t>();
  const bool one_grad = grad.numel() == 1;
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    using T = compute_type<E>;
    for_each_loss(call, [&](std::int64_t i, std::int64_t at) {
      E* to = dlogits.data<E>() + at;
      if (target[i] == call.ignore_index) {
        for (std::int64_t c = 0; c < call.classes; ++c) to[c * call.inner] = cast<E>(0.0F);
      } else {
        const T own = grad.data<T>()[one_grad ? 0 : i] * static_cast<T>(call.scale);
        gradient_of(call, logits.data<E>() + at, target[i], own, to);
      }
    });
  });
}

std::optional<std::int64_t> CpuBackend::first_bad_index(const Array& indices, std::int64_t limit, std::int64_t ignore) {
  const std::int64_t* values = indices.data<std::int64_t>();
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    if ((values[i] < 0 || values[i] >= limit) && values[i] != ignore) return values[i];
  }
  return std::nullopt;
}

}  // namespace mnemo::cpu
