#include <cmath>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/channel_tiles.h>
#include <mnemo/core/normalize_lines.h>

namespace mnemo::cpu {

namespace {

/// Mean and biased variance of each channel of a tile, in two passes; running ones are updated.
template <class E>
void take_statistics(const NormalizeCall& call, const ChannelTile& tile, double (&means)[kLanes],
                     double (&variances)[kLanes]) {
  using T = compute_type<E>;
  const std::int64_t count = call.batch * call.inner;
  std::fill(means, means + tile.width, 0.0), std::fill(variances, variances + tile.width, 0.0);
  if (count == 0) return;
  const E* x = call.x.data<E>();
  double lanes[kLanes] = {};
  tile.visit([&](std::int64_t lane, std::int64_t i) { lanes[lane] += static_cast<double>(cast<T>(x[i])); });
  tile.fold(lanes, means);
  for (std::int64_t c = 0; c < tile.width; ++c) means[c] /= static_cast<double>(count);
  tile.spread(means);
  std::fill(lanes, lanes + kLanes, 0.0);
  tile.visit([&](std::int64_t lane, std::int64_t i) {
    const double difference = static_cast<double>(cast<T>(x[i])) - means[lane];
    lanes[lane] += difference * difference;
  });
  tile.fold(lanes, variances);
  const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
  for (std::int64_t c = 0; c < tile.width; ++c) {
    variances[c] /= static_cast<double>(count);
    const auto update = [&](const Array& running, double value) {
      set_channel_value(running, tile.first + c,
                        (1 - call.momentum) * channel_value(running, tile.first + c, 0) + call.momentum * value);
    };
    update(call.running_mean, means[c]);
    update(call.running_variance, variances[c] * unbiased);
  }
}

/// The mean and the inverse deviation of each channel of a tile, rounded as they are kept.
template <class T>
struct Kept {
  T means[kLanes] = {}, inverses[kLanes] = {};
};

template <class E>
Kept<compute_type<E>> statistics_of(const NormalizeCall& call, const ChannelTile& tile) {
  using T = compute_type<E>;
  Kept<T> kept;
  if (call.given) {
    for (std::int64_t c = 0; c < tile.width; ++c) {
      kept.means[c] = static_cast<T>(channel_values(call.mean)[tile.first + c]);
      kept.inverses[c] = static_cast<T>(channel_values(call.inverse_deviation)[tile.first + c]);
    }
    return kept;
  }
  double means[kLanes], variances[kLanes];
  if (call.training) take_statistics<E>(call, tile, means, variances);
  for (std::int64_t c = 0; c < tile.width; ++c) {
    const std::int64_t channel = tile.first + c;
    if (!call.training) {
      means[c] = channel_values(call.running_mean)[channel];
      variances[c] = channel_values(call.running_variance)[channel];
    }
    kept.means[c] = static_cast<T>(means[c]);
    kept.inverses[c] = static_cast<T>(1 / std::sqrt(variances[c] + call.epsilon));
    set_channel_value(call.mean, channel, static_cast<double>(kept.means[c]));
    set_channel_value(call.inverse_deviation, channel, static_cast<double>(kept.inverses[c]));
  }
  return kept;
}

template <class E>
void normalize_tile(const NormalizeCall& call, const ChannelTile& tile) {
  using T = compute_type<E>;
  const Kept<T> kept = statistics_of<E>(call, tile);
  T means[kLanes], scales[kLanes], shifts[kLanes];
  for (std::int64_t c = 0; c < tile.width; ++c) {
    const std::int64_t channel = tile.first + c;
    means[c] = kept.means[c];
    scales[c] = static_cast<T>(static_cast<double>(kept.inverses[c]) * channel_value(call.weight, channel, 1));
    shifts[c] = static_cast<T>(channel_value(call.bias, channel, 0));
  }
  tile.spread(means), tile.spread(scales), tile.spread(shifts);
  const NormalizeResult<E> result(call.relu);
  const E* x = call.x.data<E>();
  E* y = call.y.data<E>();
  const auto line = [&](std::int64_t lane, std::int64_t i) {
    return NormalizeLine<T>{means[lane], scales[lane], shifts[lane]}(cast<T>(x[i]));
  };
  if (!call.residual.defined()) {
    tile.visit([&](std::int64_t lane, std::int64_t i) { y[i] = result(line(lane, i)); });
    return;
  }
  const E* residual = call.residual.data<E>();
  tile.visit([&](std::int64_t lane, std::int64_t i) { y[i] = result(line(lane, i), cast<T>(residual[i])); });
}

}  // namespace

void CpuBackend::normalize(const NormalizeCall& call) {
  visit_floating(call.x.dtype(), [&](auto zero) {
    for_each_tile(call.batch, call.channels, call.inner,
                  [&](const ChannelTile& tile) { normalize_tile<decltype(zero)>(call, tile); });
  });
}

}  // namespace mnemo::cpu
