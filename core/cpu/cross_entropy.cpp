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

template <class E>
double loss_of(const CrossEntropyCall& call, const E* logits, std::int64_t target) {
  using T = compute_type<E>;
  assert(target >= 0 && target < call.classes);
  const Normalizer<T> n(call, logits);
  auto relative = [&](std::int64_t c) { return static_cast<double>(cast<T>(logits[c * call.inner]) - n.top); };
  const double log_sum = std::log(n.sum);
  if (call.label_smoothing == 0) return log_sum - relative(target);  // an infinite logit elsewhere must not matter
  double all = 0;
  for (std::int64_t c = 0; c < call.classes; ++c) all += log_sum - relative(c);
  return (1 - call.label_smoothing) * (log_sum - relative(target)) +
         call.label_smoothing / static_cast<double>(call.classes) * all;
}

template <class E>
void gradient_of(const CrossEntropyCall& call, const E* logits, std::int64_t target, compute_type<E> grad, E* dlogits) {
  using T = compute_type<E>;
  assert(target >= 0 && target < call.classes);
  const Normalizer<T> n(call, logits);
  const T scale = static_cast<T>(1 / n.sum);
  const T smooth = static_cast<T>(call.label_smoothing / static_cast<double>(call.classes));
  for (std::int64_t c = 0; c < call.classes; ++c) {
    const T expected = (c == target ? static_cast<T>(1 - call.label_smoothing) : T{0}) + smooth;
    const T probability = std::exp(cast<T>(logits[c * call.inner]) - n.top) * scale;
    dlogits[c * call.inner] = cast<E>(static_cast<T>(grad * (probability - expected)));
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
