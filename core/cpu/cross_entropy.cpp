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
  const ChannelTile& tile;
  const E* logits;
  const std::int64_t* targets;  ///< of the tile's lines
  T tops[kLanes];
  double sums[kLanes];

  Lines(const CrossEntropyCall& of, const ChannelTile& lines, const Array& from, const Array& indices)
      : call(of), tile(lines), logits(from.data<E>()), targets(indices.data<std::int64_t>() + lines.first) {
    find_tops(tile, logits, tops);
    sum_lines(tile, sums, [&](std::int64_t lane, std::int64_t i) { return elementary::exp(relative(lane, i)); });
  }

  T relative(std::int64_t lane, std::int64_t i) const { return static_cast<T>(cast<T>(logits[i]) - tops[lane]); }
  bool ignored(std::int64_t line) const { return targets[line] == call.ignore_index; }
  /// The target's element. REQUIRES: not ignored.
  std::int64_t expected(std::int64_t line) const {
    assert(targets[line] >= 0 && targets[line] < call.classes);
    return tile.start + line + targets[line] * call.inner;
  }
};

template <class E>
void losses_of(const Lines<E>& lines, compute_type<E>* losses) {
  const CrossEntropyCall& call = lines.call;
  double all[kLanes] = {};  // logits, relative to the largest; an infinite one must not matter unless it is asked for
  if (call.label_smoothing != 0) {
    sum_lines(lines.tile, all, [&](std::int64_t lane, std::int64_t i) { return lines.relative(lane, i); });
  }
  for (std::int64_t l = 0; l < lines.tile.width; ++l) {
    double loss = 0;
    if (!lines.ignored(l)) {
      const double log_sum = std::log(lines.sums[l]);
      loss = log_sum - static_cast<double>(lines.relative(l, lines.expected(l)));
      if (call.label_smoothing != 0) {
        loss = (1 - call.label_smoothing) * loss +
               call.label_smoothing * (log_sum - all[l] / static_cast<double>(call.classes));
      }
    }
    losses[lines.tile.first + l] = static_cast<compute_type<E>>(loss);
  }
}

/// `grad`: of all losses, or of each.
template <class E>
void gradients_of(const Lines<E>& lines, const compute_type<E>* grad, bool one_grad, E* dlogits) {
  using T = compute_type<E>;
  const CrossEntropyCall& call = lines.call;
  const ChannelTile& tile = lines.tile;
  T scales[kLanes], grads[kLanes];
  for (std::int64_t l = 0; l < tile.width; ++l) {
    scales[l] = static_cast<T>(1 / lines.sums[l]);
    grads[l] = grad[one_grad ? 0 : tile.first + l] * static_cast<T>(call.scale);
  }
  tile.spread(scales), tile.spread(grads);
  const T smooth = static_cast<T>(call.label_smoothing / static_cast<double>(call.classes));
  const auto gradient = [&](std::int64_t lane, std::int64_t i, T expected) {
    const T probability = elementary::exp(lines.relative(lane, i)) * scales[lane];
    return cast<E>(static_cast<T>(grads[lane] * (probability - expected)));
  };
  tile.visit([&](std::int64_t lane, std::int64_t i) { dlogits[i] = gradient(lane, i, smooth); });
  for (std::int64_t l = 0; l < tile.width; ++l) {
    if (lines.ignored(l)) {
      for (std::int64_t c = 0; c < call.classes; ++c) dlogits[tile.start + l + c * call.inner] = cast<E>(0.0F);
    } else {
      const std::int64_t i = lines.expected(l);
      dlogits[i] = gradient(l, i, static_cast<T>(1 - call.label_smoothing) + smooth);
    }
  }
}

}  // namespace

void CpuBackend::cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                               const Array& losses) {
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line_tile(call.outer, call.classes, call.inner, [&](const ChannelTile& tile) {
      losses_of(Lines<E>(call, tile, logits, targets), losses.data<compute_type<E>>());
    });
  });
}

void CpuBackend::cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                        const Array& targets, const Array& dlogits) {
  visit_floating(logits.dtype(), [&](auto zero) {
    using E = decltype(zero);
    for_each_line_tile(call.outer, call.classes, call.inner, [&](const ChannelTile& tile) {
      gradients_of(Lines<E>(call, tile, logits, targets), grad.data<compute_type<E>>(), grad.numel() == 1,
                   dlogits.data<E>());
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
