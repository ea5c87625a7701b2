#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/channel_tiles.h>
#include <mnemo/core/normalize_lines.h>

namespace mnemo::cpu {

namespace {

/// What a tile's channels take from their numbers, for each lane.
template <class E>
struct Lines {
  using T = compute_type<E>;
  double means[kLanes], inverses[kLanes];
  T centers[kLanes], scales[kLanes], shifts[kLanes];

  Lines(const NormalizeGradientCall& call, const ChannelTile& tile) {
    for (std::int64_t c = 0; c < tile.width; ++c) {
      means[c] = channel_values(call.mean)[tile.first + c];
      inverses[c] = channel_values(call.inverse_deviation)[tile.first + c];
      centers[c] = static_cast<T>(means[c]);
      scales[c] = static_cast<T>(inverses[c] * channel_value(call.weight, tile.first + c, 1));
      shifts[c] = static_cast<T>(channel_value(call.bias, tile.first + c, 0));
    }
    tile.spread(means), tile.spread(centers), tile.spread(scales), tile.spread(shifts);
  }
};

/// `gradient(lane, place)` is what counts of it.
template <class E, class Gradient>
void give(const NormalizeGradientCall& call, const ChannelTile& tile, const Lines<E>& lines, const Gradient& gradient) {
  using T = compute_type<E>;
  const E* x = call.x.data<E>();
  double grads[kLanes] = {}, products[kLanes] = {};  // with the normalized input, but for the inverse deviation
  if (call.training || call.dweight.defined() || call.dbias.defined()) {
    double grad_lanes[kLanes] = {}, product_lanes[kLanes] = {};
    tile.visit([&](std::int64_t lane, std::int64_t i) {
      const auto g = static_cast<double>(gradient(lane, i));
      grad_lanes[lane] += g;
      product_lanes[lane] += g * (static_cast<double>(cast<T>(x[i])) - lines.means[lane]);
    });
    tile.fold(grad_lanes, grads);
    tile.fold(product_lanes, products);
  }
  for (std::int64_t c = 0; c < tile.width; ++c) {
    set_channel_value(call.dweight, tile.first + c, products[c] * lines.inverses[c]);
    set_channel_value(call.dbias, tile.first + c, grads[c]);
  }
  if (!call.dx.defined()) return;
  const std::int64_t count = call.batch * call.inner;
  const double share = call.training && count > 0 ? 1 / static_cast<double>(count) : 0;
  T grad_means[kLanes], slopes[kLanes];
  for (std::int64_t c = 0; c < tile.width; ++c) {
    grad_means[c] = static_cast<T>(grads[c] * share);
    slopes[c] = static_cast<T>(products[c] * share * lines.inverses[c] * lines.inverses[c]);
  }
  tile.spread(grad_means), tile.spread(slopes);
  E* dx = call.dx.data<E>();
  tile.visit([&](std::int64_t lane, std::int64_t i) {
    const NormalizeGradientLine<T> line{lines.scales[lane], grad_means[lane], lines.centers[lane], slopes[lane]};
    dx[i] = cast<E>(line(gradient(lane, i), cast<T>(x[i])));
  });
}

template <class E>
void normalize_gradient_tile(const NormalizeGradientCall& call, const ChannelTile& tile) {
  using T = compute_type<E>;
  const Lines<E> lines(call, tile);
  const E* grad = call.grad.data<E>();
  const E* x = call.x.data<E>();
  if (call.y.defined()) {
    const E* y = call.y.data<E>();
    E* kept = call.dresidual.data<E>();
    tile.visit([&](std::int64_t, std::int64_t i) {
      const E g = grad[i];
      kept[i] = cast<T>(y[i]) > T{0} ? g : cast<E>(T{0});
    });
    give<E>(call, tile, lines, [kept](std::int64_t, std::int64_t i) { return cast<T>(kept[i]); });
  } else if (call.relu) {
    give<E>(call, tile, lines, [&](std::int64_t lane, std::int64_t i) {
      const NormalizeLine<T> line{lines.centers[lane], lines.scales[lane], lines.shifts[lane]};
      return line(cast<T>(x[i])) > kRoundsToZero<E> ? cast<T>(grad[i]) : T{0};
    });
  } else {
    give<E>(call, tile, lines, [grad](std::int64_t, std::int64_t i) { return cast<T>(grad[i]); });
  }
}

}  // namespace

void CpuBackend::normalize_gradient(const NormalizeGradientCall& call) {
  visit_floating(call.x.dtype(), [&](auto zero) {
    for_each_tile(call.batch, call.channels, call.inner,
                  [&](const ChannelTile& tile) { normalize_gradient_tile<decltype(zero)>(call, tile); });
  });
}

}  // namespace mnemo::cpu
