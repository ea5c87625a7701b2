// row_norm and its gradient: one row after the other, in runs of elements whose numbers of their channels lie side by
// side, or are the same.
#include <cmath>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/line_tiles.h>
#include <mnemo/core/normalize_lines.h>

namespace mnemo::cpu {

namespace {

/// A number for each element of a run: those of its channels, one for all of them, or 1 or 0 where there are none.
template <class T, class W>
struct Numbers {
  const W* of_channels;
  T otherwise;

  /// Calls f(what gives the number of element i of a run) where the run's elements are as many channels from
  /// `channel` on, or all of it.
  template <class F>
  void visit(std::int64_t channel, bool one, const F& f) const {
    if (of_channels == nullptr) return f([value = otherwise](std::int64_t) { return value; });
    const W* from = of_channels + channel;
    if (one) return f([value = cast<T>(*from)](std::int64_t) { return value; });
    f([from](std::int64_t i) { return cast<T>(from[i]); });
  }
};

/// Calls body(tile, channel of its first element) for each run of a row.
template <class Body>
void for_each_run(const RowNormSizes& sizes, std::int64_t row, const Body& body) {
  const std::int64_t channel = sizes.first_channel(row), begin = row * sizes.features;
  const std::int64_t length = sizes.inner == 1 ? sizes.features : sizes.inner;
  for (std::int64_t at = 0; at < sizes.features; at += length) {
    body(ChannelTile{.first = row, .runs = 1, .start = begin + at, .length = length}, channel + at / sizes.inner);
  }
}

template <class Body>
void for_each_row(const RowNormSizes& sizes, const Body& body) {
  parallel_for(sizes.rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, sizes.features)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t row = begin; row < end; ++row) body(row);
               });
}

/// The mean and the inverse deviation of a row, rounded as they are kept.
template <class E>
RowNormLine<compute_type<E>> statistics_of(const RowNormCall& call, std::int64_t row) {
  using T = compute_type<E>;
  const ChannelTile tile{.runs = 1, .start = row * call.sizes.features, .length = call.sizes.features};
  const auto count = static_cast<double>(call.sizes.features);
  const E* x = call.x.data<E>();
  double sums[kLanes], squares[kLanes];
  sum_lines(tile, sums, [&](std::int64_t, std::int64_t i) { return cast<T>(x[i]); });
  const double mean = sums[0] / count;
  sum_lines(tile, squares, [&](std::int64_t, std::int64_t i) {
    const double distance = static_cast<double>(cast<T>(x[i])) - mean;
    return distance * distance;
  });
  return {static_cast<T>(mean), static_cast<T>(1 / std::sqrt(squares[0] / count + call.epsilon))};
}

template <class E, class W>
void normalize_rows(const RowNormCall& call) {
  using T = compute_type<E>;
  const Numbers<T, W> weights{call.weight.defined() ? call.weight.data<W>() : nullptr, 1};
  const Numbers<T, W> biases{call.bias.defined() ? call.bias.data<W>() : nullptr, 0};
  const E* x = call.x.data<E>();
  E* y = call.y.data<E>();
  const bool one = call.sizes.inner > 1;
  for_each_row(call.sizes, [&](std::int64_t row) {
    const auto line = statistics_of<E>(call, row);
    call.mean.data<T>()[row] = line.mean;
    call.inverse_deviation.data<T>()[row] = line.inverse_deviation;
    for_each_run(call.sizes, row, [&](const ChannelTile& tile, std::int64_t channel) {
      weights.visit(channel, one, [&](const auto& weight) {
        biases.visit(channel, one, [&](const auto& bias) {
          tile.visit([&](std::int64_t, std::int64_t i) {
            const std::int64_t place = i - tile.start;
            y[i] = cast<E>(line(cast<T>(x[i]), weight(place), bias(place)));
          });
        });
      });
    });
  });
}

template <class E, class W>
void row_gradients(const RowNormGradientCall& call) {
  using T = compute_type<E>;
  const Numbers<T, W> weights{call.weight.defined() ? call.weight.data<W>() : nullptr, 1};
  const E *grad = call.grad.data<E>(), *x = call.x.data<E>();
  E* dx = call.dx.data<E>();
  const bool one = call.sizes.inner > 1;
  for_each_row(call.sizes, [&](std::int64_t row) {
    const T mean = call.mean.data<T>()[row], inverse = call.inverse_deviation.data<T>()[row];
    double sum = 0, product = 0;
    for_each_run(call.sizes, row, [&](const ChannelTile& tile, std::int64_t channel) {
      weights.visit(channel, one, [&](const auto& weight) {
        double products[kLanes] = {}, sums[kLanes] = {};
        tile.visit([&](std::int64_t lane, std::int64_t i) {
          const auto g = static_cast<double>(cast<T>(grad[i]) * weight(i - tile.start));
          sums[lane] += g;
          products[lane] += g * static_cast<double>(cast<T>(x[i]) - mean);
        });
        tile.fold(sums, sums), tile.fold(products, products);
        sum += sums[0], product += products[0];
      });
    });
    const auto count = static_cast<double>(call.sizes.features), scale = static_cast<double>(inverse);
    const NormalizeGradientLine<T> line{inverse, static_cast<T>(sum / count), mean,
                                        static_cast<T>(product * scale * scale / count)};
    for_each_run(call.sizes, row, [&](const ChannelTile& tile, std::int64_t channel) {
      weights.visit(channel, one, [&](const auto& weight) {
        tile.visit([&](std::int64_t, std::int64_t i) {
          dx[i] = cast<E>(line(cast<T>(grad[i]) * weight(i - tile.start), cast<T>(x[i])));
        });
      });
    });
  });
}

}  // namespace

void CpuBackend::row_norm(const RowNormCall& call) {
  visit_floating(call.x.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) { normalize_rows<E, W>(call); });
}

void CpuBackend::row_norm_gradient(const RowNormGradientCall& call) {
  visit_floating(call.x.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) { row_gradients<E, W>(call); });
}

}  // namespace mnemo::cpu
