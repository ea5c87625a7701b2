// Images as matrices of what the taps of a convolution read, and back.
#include <mnemo/cuda/kernels/conv_view.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>
#include <mnemo/cuda/kernels/multiply.h>

namespace mnemo::cuda {

namespace {

/// One image and group of a convolution, and its matrix.
struct Unfolding {
  ConvStrides image;
  Triple in, out, taps, stride, padding, dilation;
  std::int64_t channels, offset;
  bool channels_innermost;

  Unfolding(const ConvCall& call, std::int64_t number, std::int64_t group)
      : image(call.problem.in_channels, call.problem.in, call.layout),
        in(call.problem.in),
        out(call.problem.out),
        taps(call.problem.kernel),
        stride(call.problem.stride),
        padding(call.problem.padding),
        dilation(call.problem.dilation),
        channels(call.problem.in_channels / call.problem.groups),
        offset(number * image.outer + group * channels * image.channel),
        channels_innermost(call.layout == ConvLayout::channels_last) {}

  std::int64_t count() const { return channels * taps.volume() * out.volume(); }

  __device__ std::int64_t matrix_at(std::int64_t channel, const Triple& tap, const Triple& place) const {
    const std::int64_t t = (tap.d * taps.h + tap.h) * taps.w + tap.w, q = (place.d * out.h + place.h) * out.w + place.w;
    if (channels_innermost) return (q * taps.volume() + t) * channels + channel;
    return (channel * taps.volume() + t) * out.volume() + q;
  }
};

// Elements are only moved: their size is all that matters.
template <class E>
__global__ void __launch_bounds__(kThreads)
    unfold_kernel(const Unfolding u, std::int64_t count, const E* x, E* matrix) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    std::int64_t channel, rest = i;
    Triple tap, place;
    if (u.channels_innermost) {
      const std::int64_t t = divide(i, u.channels);
      channel = i - t * u.channels;
      tap = place_of(t, u.taps, rest);
      place = place_of(rest, u.out, rest);
    } else {
      place = place_of(i, u.out, rest);
      tap = place_of(rest, u.taps, channel);
    }
    const Triple at(place.d * u.stride.d - u.padding.d + tap.d * u.dilation.d,
                    place.h * u.stride.h - u.padding.h + tap.h * u.dilation.h,
                    place.w * u.stride.w - u.padding.w + tap.w * u.dilation.w);
    const bool inside = at.d >= 0 && at.d < u.in.d && at.h >= 0 && at.h < u.in.h && at.w >= 0 && at.w < u.in.w;
    matrix[i] = inside ? x[u.offset + channel * u.image.channel + u.image.at(at)] : E{};
  }
}

/// The place at which a tap reads element i, or -1.
__device__ std::int64_t reading(std::int64_t i, std::int64_t tap, std::int64_t stride, std::int64_t padding,
                                std::int64_t dilation, std::int64_t places) {
  const std::int64_t distance = i + padding - tap * dilation;
  if (distance < 0) return -1;
  const std::int64_t place = divide(distance, stride);
  return place * stride == distance && place < places ? place : -1;
}

template <class E>
__global__ void __launch_bounds__(kThreads) fold_kernel(const Unfolding u, std::int64_t count, const E* matrix, E* x) {
  using C = compute_type<E>;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    std::int64_t channel, rest = i;
    if (u.channels_innermost) {
      rest = divide(i, u.channels);
      channel = i - rest * u.channels;
    }
    const Triple at = place_of(rest, u.in, rest);
    if (!u.channels_innermost) channel = rest;
    C sum = 0;
    for (std::int64_t d = 0; d < u.taps.d; ++d) {
      const std::int64_t q0 = reading(at.d, d, u.stride.d, u.padding.d, u.dilation.d, u.out.d);
      for (std::int64_t h = 0; h < u.taps.h && q0 >= 0; ++h) {
        const std::int64_t q1 = reading(at.h, h, u.stride.h, u.padding.h, u.dilation.h, u.out.h);
        for (std::int64_t w = 0; w < u.taps.w && q1 >= 0; ++w) {
          const std::int64_t q2 = reading(at.w, w, u.stride.w, u.padding.w, u.dilation.w, u.out.w);
          if (q2 >= 0) sum += cast<C>(matrix[u.matrix_at(channel, Triple(d, h, w), Triple(q0, q1, q2))]);
        }
      }
    }
    x[u.offset + channel * u.image.channel + u.image.at(at)] = cast<E>(sum);
  }
}

template <class E>
void unfold_as(const CudaBackend& backend, const ConvCall& call, const Unfolding& u, void* unfolded) {
  const auto* x = reinterpret_cast<const E*>(call.x.storage()->data()) + call.x.layout().offset;
  launch(backend, blocks_for(backend, u.count()), kThreads, unfold_kernel<E>, u, u.count(), x,
         static_cast<E*>(unfolded));
}

}  // namespace

void unfold(const CudaBackend& backend, const ConvCall& call, std::int64_t image, std::int64_t group, void* unfolded) {
  const Unfolding u(call, image, group);
  if (u.count() == 0) return;
  switch (size_of(call.problem.dtype)) {
    case 8:
      return unfold_as<std::uint64_t>(backend, call, u, unfolded);
    case 4:
      return unfold_as<std::uint32_t>(backend, call, u, unfolded);
    default:
      return unfold_as<std::uint16_t>(backend, call, u, unfolded);
  }
}

void fold(const CudaBackend& backend, const ConvCall& call, std::int64_t image, std::int64_t group,
          const void* unfolded) {
  const Unfolding u(call, image, group);
  const std::int64_t count = u.channels * u.in.volume();
  if (count == 0) return;
  visit_floating(call.problem.dtype, [&](auto zero) {
    using E = decltype(zero);
    launch(backend, blocks_for(backend, count), kThreads, fold_kernel<E>, u, count, static_cast<const E*>(unfolded),
           elements<E>(call.x));
  });
}

}  // namespace mnemo::cuda
