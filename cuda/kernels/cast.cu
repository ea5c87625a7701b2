// Copies that cast. The pairs of dtypes that training uses have kernels of their own; the rest go through the wider of
// their kind, which every element fits into exactly.
#include <mnemo/cuda/kernels/cast.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kPacks = 2;

/// Elements of a pack: 16 bytes of the wider type.
template <class To, class From>
__global__ void __launch_bounds__(kThreads) cast_flat(const From* from, To* to, std::int64_t count) {
  constexpr int N = kPerVector<To, From>;
  const std::int64_t packs = count / N, step = item_step();
  for (std::int64_t first = first_item(); first < packs; first += kPacks * step) {
    Pack<From, N> source[kPacks];
    MNEMO_UNROLL
    for (int k = 0; k < kPacks; ++k) {
      if (first + k * step < packs) source[k] = load<N>(from + (first + k * step) * N);
    }
    MNEMO_UNROLL
    for (int k = 0; k < kPacks; ++k) {
      if (first + k * step >= packs) continue;
      Pack<To, N> target;
      MNEMO_UNROLL
      for (int i = 0; i < N; ++i) target.values[i] = cast<To>(source[k].values[i]);
      store(target, to + (first + k * step) * N);
    }
  }
  for (std::int64_t i = packs * N + first_item(); i < count; i += step) to[i] = cast<To>(from[i]);
}

/// Calls f with a zero of the element type; the branches are the same for all threads.
template <class F>
__device__ void visit_on_device(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float64:
      return f(double{});
    case DType::float32:
      return f(float{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::uint8:
      return f(std::uint8_t{});
    default:
      return f(bool{});
  }
}

/// Any dtypes and strides, by way of C. index: to, from.
template <class C>
__global__ void __launch_bounds__(kThreads)
    cast_any(Index<2> index, const void* from, DType from_dtype, void* to, DType to_dtype) {
  for (std::int64_t i = first_item(); i < index.count; i += item_step()) {
    std::int64_t at[2];
    index.offsets(i, at);
    C value{};
    visit_on_device(from_dtype, [&](auto zero) { value = cast<C>(static_cast<const decltype(zero)*>(from)[at[1]]); });
    visit_on_device(to_dtype,
                    [&](auto zero) { static_cast<decltype(zero)*>(to)[at[0]] = cast<decltype(zero)>(value); });
  }
}

template <class To, class From>
void run_flat(const CudaBackend& backend, const Array& from, const Array& to) {
  const std::int64_t items = to.numel() / (kPerVector<To, From> * kPacks) + 1;
  launch(backend, blocks_for(backend, items), kThreads, cast_flat<To, From>, elements<From>(from), elements<To>(to),
         to.numel());
}

/// Runs the pair's own kernel, if there is one.
bool run_common(const CudaBackend& backend, const Array& from, const Array& to) {
  bool found = false;
  if (to.dtype() == DType::float32) {
    mnemo::visit(from.dtype(), [&](auto zero) {
      if constexpr (!std::is_same_v<decltype(zero), float>) run_flat<float, decltype(zero)>(backend, from, to);
    });
    found = true;
  } else if (from.dtype() == DType::float32 && is_floating(to.dtype())) {
    visit_floating(to.dtype(), [&](auto zero) {
      if constexpr (!std::is_same_v<decltype(zero), float>) run_flat<decltype(zero), float>(backend, from, to);
    });
    found = true;
  }
  return found;
}

}  // namespace

void copy_cast(const CudaBackend& backend, const Array& from, const Array& to) {
  const Index<2> index({&to, &from});
  if (index.is_flat() && is_aligned(from) && is_aligned(to) && run_common(backend, from, to)) return;
  const auto in_float = [](DType dtype) { return dtype == DType::float32 || is_half(dtype); };
  auto* const kernel = in_float(from.dtype()) && in_float(to.dtype()) ? cast_any<float>
                       : is_floating(from.dtype())                    ? cast_any<double>
                                                                      : cast_any<std::int64_t>;
  launch(backend, blocks_for(backend, index.count), kThreads, kernel, index, static_cast<const void*>(first_byte(from)),
         from.dtype(), static_cast<void*>(first_byte(to)), to.dtype());
}

}  // namespace mnemo::cuda
