// row_norm and its gradient, line by line; few and long rows as channels of batch normalization, which shares them out
// among blocks.
#include <cmath>

#include <mnemo/core/normalize_lines.h>
#include <mnemo/cuda/kernels/lines.h>
#include <mnemo/cuda/kernels/row_norm.h>

namespace mnemo::cuda {

namespace {

/// What a few values are added up in, before they are added to a sum in double: conversions of half types are slow.
template <class E>
using Few = std::conditional_t<sizeof(E) == 2, float, double>;

/// The numbers of V elements that lie side by side, `first` the number of the first one in a row that begins with
/// channel `channel`; `otherwise` where there are none.
template <int V, class W, class T>
__device__ void take_numbers(const RowNormSizes& sizes, const W* of_channels, std::int64_t channel, std::int64_t first,
                             T otherwise, T (&numbers)[V]) {
  constexpr int kAtOnce = V < kPerVector<W> ? V : kPerVector<W>;
  if (of_channels == nullptr) {
#pragma unroll
    for (int j = 0; j < V; ++j) numbers[j] = otherwise;
  } else if (sizes.inner == 1) {
    const W* from = of_channels + channel + first;
#pragma unroll
    for (int j = 0; j < V; j += kAtOnce) {
      const auto raw = load_raw<kAtOnce>(from + j);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) numbers[j + k] = value_of<W, kAtOnce>(raw, k);
    }
  } else {
    const bool narrow = sizes.features <= INT32_MAX;
    const std::int64_t passed =
        narrow ? static_cast<std::uint32_t>(first) / static_cast<std::uint32_t>(sizes.inner) : first / sizes.inner;
    const W* from = of_channels + channel + passed;
    std::int64_t left = sizes.inner - (first - passed * sizes.inner);  // of the channel's elements
#pragma unroll
    for (int j = 0; j < V; ++j) {
      if (left == 0) ++from, left = sizes.inner;
      numbers[j] = cast<T>(*from);
      --left;
    }
  }
}

template <class E, class W, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 2)
    row_norm_lines(RowNormSizes sizes, double epsilon, const E* x, const W* weight, const W* bias, E* y,
                   compute_type<E>* means, compute_type<E>* inverse_deviations) {
  using T = compute_type<E>;
  const Lines lines{sizes.rows, sizes.features, 1};
  for_each_line<kGroup>(lines, [&](std::int64_t row, std::int64_t begin, int member) {
    Share<E, kGroup, V> share(lines, x + begin, member);
    const auto sum_of = [&](const auto& term) {
      double sum = 0;
      share.visit([&](const T(&values)[V], bool) {
        Few<E> few = 0;
#pragma unroll
        for (int j = 0; j < V; ++j) few += term(static_cast<Few<E>>(values[j]));
        sum += static_cast<double>(few);
      });
      return group_join<kGroup, Plus>(sum, 0.0) / static_cast<double>(sizes.features);
    };
    const double mean = means == nullptr ? 0 : sum_of([](Few<E> value) { return value; });
    const double variance = sum_of([center = static_cast<Few<E>>(mean)](Few<E> value) {
      const Few<E> distance = value - center;
      return distance * distance;
    });
    const RowNormLine<T> normalize{static_cast<T>(mean), static_cast<T>(1 / std::sqrt(variance + epsilon))};
    if (member == 0) {
      if (means != nullptr) means[row] = normalize.mean;
      inverse_deviations[row] = normalize.inverse_deviation;
    }
    const std::int64_t channel = sizes.first_channel(row);
    share.write(y + begin, [&](T(&values)[V], std::int64_t first, bool) {
      T weights[V], biases[V];
      take_numbers<V>(sizes, weight, channel, first, T{1}, weights);
      take_numbers<V>(sizes, bias, channel, first, T{0}, biases);
#pragma unroll
      for (int j = 0; j < V; ++j) values[j] = normalize(values[j], weights[j], biases[j]);
    });
  });
}

template <class E, class W, int kGroup, int V>
__global__ void __launch_bounds__(kThreads, 2)  // two blocks at once: one computes while the other loads
    row_norm_gradient_lines(RowNormSizes sizes, const E* grad, const E* x, const W* weight,
                            const compute_type<E>* means, const compute_type<E>* inverse_deviations, E* dx) {
  using T = compute_type<E>;
  const Lines lines{sizes.rows, sizes.features, 1};
  for_each_line<kGroup>(lines, [&](std::int64_t row, std::int64_t begin, int member) {
    Share<E, kGroup, V> grads(lines, grad + begin, member), values(lines, x + begin, member);
    const T mean = means == nullptr ? T{0} : means[row], inverse = inverse_deviations[row];
    const std::int64_t channel = sizes.first_channel(row);
    double sum = 0, product = 0;
    grads.visit(values, [&](const T(&gs)[V], const T(&xs)[V], std::int64_t first) {
      T weights[V];
      take_numbers<V>(sizes, weight, channel, first, T{1}, weights);
      Few<E> few_sum = 0, few_product = 0;
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const auto g = static_cast<Few<E>>(gs[j] * weights[j]);
        few_sum += g;
        few_product += g * static_cast<Few<E>>(xs[j] - mean);
      }
      sum += static_cast<double>(few_sum), product += static_cast<double>(few_product);
    });
    const auto count = static_cast<double>(sizes.features), scale = static_cast<double>(inverse);
    sum = group_join<kGroup, Plus>(sum, 0.0), product = group_join<kGroup, Plus>(product, 0.0);
    const T constant = means == nullptr ? T{0} : static_cast<T>(sum / count);
    const NormalizeGradientLine<T> line{inverse, constant, mean, static_cast<T>(product * scale * scale / count)};
    grads.write(values, dx + begin, [&](T(&gs)[V], const T(&xs)[V], std::int64_t first) {
      T weights[V];
      take_numbers<V>(sizes, weight, channel, first, T{1}, weights);
#pragma unroll
      for (int j = 0; j < V; ++j) gs[j] = line(gs[j] * weights[j], xs[j]);
    });
  });
}

bool all_aligned(std::initializer_list<Array> arrays) {
  for (const Array& array : arrays) {
    if (array.defined() && !is_aligned(array)) return false;
  }
  return true;
}

/// Whether a block for each row leaves so much of the device idle that several passes take less time. Then each row is
/// far longer than what stays in registers.
bool few_and_long(const CudaBackend& backend, const RowNormSizes& sizes) {
  return 2 * sizes.rows <= backend.multiprocessors() && sizes.features > 16384;
}

/// to = from * weight + bias; maybe the same memory.
void scale_channels(CudaBackend& backend, const RowNormSizes& sizes, const Array& from, const Array& weight,
                    const Array& bias, const Array& to) {
  NormalizeCall call;
  call.batch = sizes.batch(), call.channels = sizes.channels, call.inner = sizes.inner;
  call.given = true;  // with mean 0 and deviation 1
  call.x = from, call.y = to, call.weight = weight, call.bias = bias;
  backend.normalize(call);
}

}  // namespace

void CudaBackend::row_norm(const RowNormCall& call) {
  const Lines lines{call.sizes.rows, call.sizes.features, 1};
  if (lines.count() * lines.size == 0) return;
  if (call.centered && few_and_long(*this, call.sizes)) {
    NormalizeCall rows;
    rows.channels = call.sizes.rows, rows.inner = call.sizes.features, rows.epsilon = call.epsilon;
    rows.x = call.x, rows.y = call.y, rows.mean = call.mean, rows.inverse_deviation = call.inverse_deviation;
    normalize(rows);
    if (call.weight.defined() || call.bias.defined())
      scale_channels(*this, call.sizes, call.y, call.weight, call.bias, call.y);
    return;
  }
  visit_floating(call.x.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) {
    using T = compute_type<E>;
    with_group<E>(*this, lines, all_aligned({call.x, call.y, call.weight, call.bias}),
                  [&](auto group, auto width, unsigned blocks, int threads) {
                    launch(*this, blocks, static_cast<unsigned>(threads),
                           row_norm_lines<E, W, decltype(group)::value, decltype(width)::value>, call.sizes,
                           call.epsilon, elements<E>(call.x), elements<W>(call.weight), elements<W>(call.bias),
                           elements<E>(call.y), elements<T>(call.mean), elements<T>(call.inverse_deviation));
                  });
  });
}

void CudaBackend::row_norm_gradient(const RowNormGradientCall& call) {
  // Before dx takes the memory of the gradient that they are made of.
  if (call.dweight.defined() || call.dbias.defined()) give_channel_gradients(*this, call);
  const Lines lines{call.sizes.rows, call.sizes.features, 1};
  if (!call.dx.defined() || lines.count() * lines.size == 0) return;
  if (call.centered && few_and_long(*this, call.sizes)) {
    if (call.weight.defined()) scale_channels(*this, call.sizes, call.grad, call.weight, {}, call.dx);
    NormalizeGradientCall rows;
    rows.channels = call.sizes.rows, rows.inner = call.sizes.features;
    rows.grad = call.weight.defined() ? call.dx : call.grad, rows.x = call.x, rows.dx = call.dx;
    rows.mean = call.mean, rows.inverse_deviation = call.inverse_deviation;
    normalize_gradient(rows);
    return;
  }
  visit_floating(call.x.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) {
    using T = compute_type<E>;
    with_group<E>(*this, lines, all_aligned({call.grad, call.x, call.dx, call.weight}),
                  [&](auto group, auto width, unsigned blocks, int threads) {
                    launch(*this, blocks, static_cast<unsigned>(threads),
                           row_norm_gradient_lines<E, W, decltype(group)::value, decltype(width)::value>, call.sizes,
                           elements<E>(call.grad), elements<E>(call.x), elements<W>(call.weight),
                           elements<T>(call.mean), elements<T>(call.inverse_deviation), elements<E>(call.dx));
                  });
  });
}

}  // namespace mnemo::cuda
