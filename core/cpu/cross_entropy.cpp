#include <cassert>
#include <cmath>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/line_tiles.h>

namespace mnemo::cpu {

namespace {

/// Of the lines of a tile: the largest logit, the sum of exponentials relative to it, and where the target's logit is.
template <class E>
struct Lines {
  using T = compute_type<E>;
  const CrossEntropyCall& call;
  const LineTile& tile;
  const E* logits;
  const std::int64_t* targets;  ///< of all lines
  T tops[kLanes];
  double sums[kLanes];

  Lines(const CrossEntropyCall& of, const LineTile& lines, const Array& from, const Array& indices)
      : call(of), tile(lines), logits(from.data<E>()), targets(indices.data<std::int64_t>()) {
    find_tops(tile, logits, tops);
    sum_lines(tile, sums, [&](std::int64_t lane, std::int64_t i) { return elementary::exp(relative(lane, i)); });
  }

  T relative(std::int64_t lane, std::int64_t i) const { return static_cast<T>(cast<T>(logits[i]) - tops[lane]); }
  std::int64_t class_of(std::int64_t i) const { return (i - tile.start) / call.inner % call.classes; }
  std::int64_t target(std::int64_t lane) const { return targets[tile.line(lane)]; }
  bool ignored(std::int64_t lane) const { return target(lane) == call.ignore_index; }
  /// The target's element. REQUIRES: not ignored.
  std::int64_t expected(std::int64_t lane) const {
    assert(target(lane) >= 0 && target(lane) < call.classes);
    return tile.start + lane * tile.apart + target(lane) * call.inner;
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
void losses_of(const Lines<E>& lines, const Array& losses) {
  using T = compute_type<E>;
  const CrossEntropyCall& call = lines.call;
  const Weights<T> weights(call);
  double log_sums[kLanes], all[kLanes] = {};  // the second is of all classes: an infinite one must not matter otherwise
  for (std::int64_t l = 0; l < lines.tile.width; ++l) log_sums[l] = std::log(lines.sums[l]);
  const auto part = [&](std::int64_t line, std::int64_t i) {
    return log_sums[line] - static_cast<double>(lines.relative(line, i));
  };
  if (call.label_smoothing != 0) {
    lines.tile.spread(log_sums);
    if (weights.values == nullptr)
      sum_lines(lines.tile, all, part);
    else
      sum_lines(lines.tile, all, [&](std::int64_t lane, std::int64_t i) {
        return static_cast<double>(weights[lines.class_of(i)]) * part(lane, i);
      });
  }
  const double others = call.label_smoothing / static_cast<double>(call.classes);
  for (std::int64_t l = 0; l < lines.tile.width; ++l) {
    const std::int64_t at = lines.tile.line(l);
    const bool ignored = lines.ignored(l);
    const T weight = ignored ? T{0} : weights[lines.target(l)];
    double loss = 0;
    if (!ignored) loss = static_cast<double>(weight) * part(l, lines.expected(l));
    if (!ignored && others != 0) loss = (1 - call.label_smoothing) * loss + others * all[l];
    losses.data<T>()[at] = static_cast<T>(loss);
    if (call.target_weights.defined()) call.target_weights.data<T>()[at] = weight;
  }
}

template <class E>
void gradients_of(const Lines<E>& lines, const Array& grad, E* dlogits) {
  using T = compute_type<E>;
  const CrossEntropyCall& call = lines.call;
  const LineTile& tile = lines.tile;
  const Weights<T> weights(call);
  const T sharp = static_cast<T>(1 - call.label_smoothing);
  const T smooth = static_cast<T>(call.label_smoothing / static_cast<double>(call.classes));
  T scales[kLanes], grads[kLanes];
  for (std::int64_t l = 0; l < tile.width; ++l) {
    scales[l] = static_cast<T>(1 / lines.sums[l]);
    if (weights.values != nullptr && !lines.ignored(l)) {  // all that is expected of the classes: 1 without weights
      scales[l] *= sharp * weights[lines.target(l)] + (smooth == 0 ? T{0} : smooth * *call.weight_sum.data<T>());
    }
    grads[l] = grad.data<T>()[grad.numel() == 1 ? 0 : tile.line(l)] * static_cast<T>(call.scale);
  }
  tile.spread(scales), tile.spread(grads);
  const auto gradient = [&](std::int64_t lane, std::int64_t i, T expected) {
    const T share = elementary::exp(lines.relative(lane, i)) * scales[lane];
    return cast<E>(static_cast<T>(grads[lane] * (share - expected)));
  };
  if (weights.values == nullptr || smooth == 0) {
    tile.visit([&](std::int64_t lane, std::int64_t i) { dlogits[i] = gradient(lane, i, smooth); });
  } else {
    tile.visit([&](std::int64_t lane, std::int64_t i) {
      dlogits[i] = gradient(lane, i, smooth * weights[lines.class_of(i)]);
    });
  }
  for (std::int64_t l = 0; l < tile.width; ++l) {
    if (lines.ignored(l)) {
      for (std::int64_t c = 0; c < call.classes; ++c)
        dlogits[tile.start + l * tile.apart + c * call.inner] = cast<E>(0.0F);
    } else {
      const std::int64_t i = lines.expected(l);
      dlogits[i] = gradient(l, i, (sharp + smooth) * weights[lines.target(l)]);
    }
  }
}

}  // namespace

void CpuBackend::cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                               const Array& losses) {
  visit_floating(logits.dtype(), [&](auto zero) {
    for_each_line_tile(call.outer, call.classes, call.inner, false, [&](const LineTile& tile) {
      losses_of(Lines<decltype(zero)>(call, tile, logits, targets), losses);
    });
  });
}

void CpuBackend::cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                        const Array& targets, const Array& dlogits) {
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line_tile(call.outer, call.classes, call.inner, false, [&](const LineTile& tile) {
      gradients_of(Lines<E>(call, tile, logits, targets), grad, dlogits.data<E>());
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
