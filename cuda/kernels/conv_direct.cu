// Convolutions without a workspace: products of which one operand is unfolded as it is read, and one thread or block
// for each element where groups have too few channels for tiles.
#include <mnemo/cuda/kernels/conv_view.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/multiply.h>
#include <mnemo/cuda/kernels/tiles.h>

namespace mnemo::cuda {

namespace {

/// One pass as a product per group. Forward: y (K, places) = w (K, taps) * x unfolded (taps, places). Data gradient:
/// x (C, places) = w (C, taps) * y unfolded (taps, places). Weight gradient: w (K, taps) = y (K, places) * x unfolded
/// (places, taps). A tap is one of a channel; they are in the order of the weight's memory as far as they go.
template <class E>
struct ConvProduct {
  using C = compute_type<E>;
  /// A tap or a place: together they say which element of the source is read.
  struct Entry {
    std::int64_t offset;  ///< in the source
    std::int64_t other;   ///< in the other operand, or in the result
    Triple position;
  };
  using Line = Entry;
  using Step = Entry;

  const E* source;
  const E* a_data;
  E* out;
  const E* bias;
  ConvStrides source_strides, place_strides;
  Triple source_size, places, place_step, place_first, taps, tap_step, divisor;
  std::int64_t channels, source_group, a_group, a_row, out_group, out_row, tap_channel, tap_unit;
  std::int64_t groups, rows, columns, depth;
  bool lines_are_places, channels_innermost, divides, a_along_rows, b_along_columns;

  explicit ConvProduct(const ConvCall& call);

  __device__ Entry place(std::int64_t group, std::int64_t number) const {
    std::int64_t image;
    const Triple q = place_of(number, places, image);
    return {image * source_strides.outer + group * source_group, image * place_strides.outer + place_strides.at(q),
            Triple(q.d * place_step.d + place_first.d, q.h * place_step.h + place_first.h,
                   q.w * place_step.w + place_first.w)};
  }
  __device__ Entry tap(std::int64_t channel, std::int64_t number, const Triple& t) const {
    return {channel * source_strides.channel, channel * tap_channel + number * tap_unit,
            Triple(t.d * tap_step.d, t.h * tap_step.h, t.w * tap_step.w)};
  }
  __device__ Entry tap(std::int64_t number) const {
    std::int64_t channel = 0, rest;
    if (channels_innermost) {
      const std::int64_t t = divide(number, channels);
      channel = number - t * channels;
      return tap(channel, t, place_of(t, taps, rest));
    }
    const Triple t = place_of(number, taps, channel);
    return tap(channel, number - channel * taps.volume(), t);
  }

  __device__ Line line(std::int64_t group, std::int64_t column) const {
    return lines_are_places ? place(group, column) : tap(column);
  }
  __device__ Step step(std::int64_t group, std::int64_t d) const { return lines_are_places ? tap(d) : place(group, d); }
  __device__ C a(std::int64_t group, std::int64_t row, const Step& step) const {
    return cast<C>(a_data[group * a_group + row * a_row + step.other]);
  }
  __device__ C b(const Step& step, const Line& line) const {
    Triple p(step.position.d + line.position.d, step.position.h + line.position.h, step.position.w + line.position.w);
    if (divides) {  // an element met this tap only at every stride-th place
      if (p.d < 0 || p.h < 0 || p.w < 0) return C{0};
      const Triple q(divide(p.d, divisor.d), divide(p.h, divisor.h), divide(p.w, divisor.w));
      if (q.d * divisor.d != p.d || q.h * divisor.h != p.h || q.w * divisor.w != p.w) return C{0};
      p = q;
    }
    const auto inside = [](std::int64_t i, std::int64_t size) {
      return static_cast<std::uint64_t>(i) < static_cast<std::uint64_t>(size);
    };
    if (!inside(p.d, source_size.d) || !inside(p.h, source_size.h) || !inside(p.w, source_size.w)) return C{0};
    return cast<C>(source[step.offset + line.offset + source_strides.at(p)]);
  }
  __device__ void store(std::int64_t group, std::int64_t row, const Line& line, C value) const {
    if (bias != nullptr) value += cast<C>(bias[group * rows + row]);
    out[group * out_group + row * out_row + line.other] = cast<E>(value);
  }
};

template <class E>
ConvProduct<E>::ConvProduct(const ConvCall& call)
    : bias(nullptr),
      source_strides(call.problem.in_channels, call.problem.in, call.layout),
      place_strides(call.problem.out_channels, call.problem.out, call.layout),
      source_size(call.problem.in),
      places(call.problem.out),
      place_step(call.problem.stride),
      place_first(-call.problem.padding[0], -call.problem.padding[1], -call.problem.padding[2]),
      taps(call.problem.kernel),
      tap_step(call.problem.dilation),
      divisor(call.problem.stride),
      groups(call.problem.groups) {
  const ConvProblem& p = call.problem;
  const std::int64_t group_in = p.in_channels / groups, group_out = p.out_channels / groups;
  const std::int64_t all_places = p.batch * places.volume();
  const ConvStrides x = source_strides, y = place_strides, w(group_in, p.kernel, call.layout);
  lines_are_places = call.pass != ConvPass::weight_gradient;
  channels_innermost = call.layout == ConvLayout::channels_last;
  divides = false;
  channels = group_in;
  source = elements<const E>(call.x);
  source_group = group_in * x.channel;
  tap_channel = w.channel;
  tap_unit = w.spatial.w;
  switch (call.pass) {
    case ConvPass::forward:
      a_data = elements<const E>(call.w);
      out = elements<E>(call.y);
      bias = elements<const E>(call.bias);
      rows = group_out, columns = all_places, depth = group_in * taps.volume();
      a_row = w.outer, out_row = y.channel;
      break;
    case ConvPass::weight_gradient:
      a_data = elements<const E>(call.y);
      out = elements<E>(call.w);
      rows = group_out, columns = group_in * taps.volume(), depth = all_places;
      a_row = y.channel, out_row = w.outer;
      break;
    case ConvPass::data_gradient:
      source = elements<const E>(call.y);
      a_data = elements<const E>(call.w);
      out = elements<E>(call.x);
      std::swap(source_strides, place_strides);
      source_size = Triple(p.out);
      places = Triple(p.in);
      place_step = Triple(1, 1, 1);
      place_first = Triple(p.padding);
      tap_step = Triple(-p.dilation[0], -p.dilation[1], -p.dilation[2]);
      divides = divisor.volume() != 1;
      channels = group_out;
      source_group = group_out * y.channel;
      rows = group_in, columns = p.batch * places.volume(), depth = group_out * taps.volume();
      a_row = w.channel, out_row = x.channel, tap_channel = w.outer;
      break;
  }
  a_group = group_out * (call.pass == ConvPass::weight_gradient ? y.channel : w.outer);
  out_group = rows * (call.pass == ConvPass::weight_gradient ? w.outer : out_row);
  a_along_rows = a_row == 1;
  b_along_columns = lines_are_places != channels_innermost;
}

/// One thread for each element of the result: for few rows, all taps of a place.
template <class E>
__global__ void __launch_bounds__(kThreads) conv_places_kernel(const ConvProduct<E> product) {
  using C = compute_type<E>;
  const std::int64_t channels = product.groups * product.rows, count = channels * product.columns;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    // Neighbouring threads write neighbouring elements.
    const std::int64_t outer = divide(i, product.channels_innermost ? channels : product.columns);
    const std::int64_t inner = i - outer * (product.channels_innermost ? channels : product.columns);
    const std::int64_t channel = product.channels_innermost ? inner : outer;
    const std::int64_t group = divide(channel, product.rows), row = channel - group * product.rows;
    const auto line = product.line(group, product.channels_innermost ? outer : inner);
    C sum = 0;
    for (std::int64_t c = 0; c < product.channels; ++c) {
      std::int64_t number = 0;
      for (std::int64_t d = 0; d < product.taps.d; ++d)
        for (std::int64_t h = 0; h < product.taps.h; ++h)
          for (std::int64_t w = 0; w < product.taps.w; ++w, ++number) {
            const auto step = product.tap(c, number, Triple(d, h, w));
            sum += product.a(group, row, step) * product.b(step, line);
          }
    }
    product.store(group, row, line, sum);
  }
}

/// One block for each element of the result: for few rows of a weight's gradient, all places of a tap.
template <class E>
__global__ void __launch_bounds__(kThreads) conv_taps_kernel(const ConvProduct<E> product) {
  using C = compute_type<E>;
  __shared__ C sums[kThreads];
  const std::int64_t count = product.groups * product.rows * product.columns;
  for (std::int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const std::int64_t channel = divide(i, product.columns), column = i - channel * product.columns;
    const std::int64_t group = divide(channel, product.rows), row = channel - group * product.rows;
    const auto line = product.line(group, column);
    C sum = 0;
    for (std::int64_t d = threadIdx.x; d < product.depth; d += blockDim.x) {
      const auto step = product.step(group, d);
      sum += product.a(group, row, step) * product.b(step, line);
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) product.store(group, row, line, sums[0]);
    __syncthreads();  // before the next sums are written
  }
}

constexpr std::int64_t kFewRows = 4;

}  // namespace

void conv_direct(const CudaBackend& backend, const ConvCall& call) {
  visit_floating(call.problem.dtype, [&](auto zero) {
    using E = decltype(zero);
    const ConvProduct<E> product(call);
    const std::int64_t count = product.groups * product.rows * product.columns;
    if (count == 0) return;
    if (product.rows > kFewRows)
      multiply_tiles(backend, product, product.groups, product.rows, product.columns, product.depth);
    else if (product.lines_are_places)
      launch(backend, blocks_for(backend, count), kThreads, conv_places_kernel<E>, product);
    else
      launch(backend, blocks_for(backend, count * kThreads), kThreads, conv_taps_kernel<E>, product);
  });
}

}  // namespace mnemo::cuda
