// sign_bits, keep_bits: a thread reads eight elements in the order of memory, which make one byte.
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kPerByte = 8;

/// Elements 8 * byte and on; `vectors` says that they can be read as packs.
template <class T>
__device__ int read_eight(const T* from, std::int64_t byte, std::int64_t count, bool vectors, T (&to)[kPerByte]) {
  constexpr int N = kPerVector<T>;
  const std::int64_t first = byte * kPerByte;
  const auto valid = static_cast<int>(std::min(std::int64_t{kPerByte}, count - first));
  if (vectors && valid == kPerByte) {
    for (int i = 0; i < kPerByte; i += N) {
      const Pack<T, N> pack = load<N>(from + first + i);
      for (int j = 0; j < N; ++j) to[i + j] = pack.values[j];
    }
  } else {
    for (int i = 0; i < kPerByte; ++i) to[i] = i < valid ? from[first + i] : T{};
  }
  return valid;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    sign_bits_of(const T* x, std::int64_t count, bool vectors, std::uint8_t* bits) {
  using C = compute_type<T>;
  const std::int64_t bytes = (count + kPerByte - 1) / kPerByte;
  for (std::int64_t byte = first_item(); byte < bytes; byte += item_step()) {
    T values[kPerByte];
    read_eight(x, byte, count, vectors, values);
    unsigned set = 0;
    for (int i = 0; i < kPerByte; ++i) set |= cast<C>(values[i]) > C{0} ? 1u << i : 0u;
    bits[byte] = static_cast<std::uint8_t>(set);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    keep_bits_of(const T* x, const std::uint8_t* bits, std::int64_t count, bool vectors, T* out) {
  constexpr int N = kPerVector<T>;
  const std::int64_t bytes = (count + kPerByte - 1) / kPerByte;
  for (std::int64_t byte = first_item(); byte < bytes; byte += item_step()) {
    const unsigned set = bits[byte];
    T values[kPerByte];
    const int valid = read_eight(x, byte, count, vectors, values);
    for (int i = 0; i < kPerByte; ++i) {
      if ((set >> i & 1u) == 0) values[i] = T{};
    }
    T* to = out + byte * kPerByte;
    if (vectors && valid == kPerByte) {
      for (int i = 0; i < kPerByte; i += N) {
        Pack<T, N> pack;
        for (int j = 0; j < N; ++j) pack.values[j] = values[i + j];
        store(pack, to + i);
      }
    } else {
      for (int i = 0; i < kPerByte; ++i) {
        if (i < valid) to[i] = values[i];
      }
    }
  }
}

}  // namespace

void CudaBackend::sign_bits(const Array& x, const Array& bits) {
  if (x.numel() == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(*this, blocks_for(*this, bits.numel()), kThreads, sign_bits_of<T>, elements<T>(x), x.numel(), is_aligned(x),
           elements<std::uint8_t>(bits));
  });
}

void CudaBackend::keep_bits(const Array& x, const Array& bits, const Array& out) {
  if (x.numel() == 0) return;
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(*this, blocks_for(*this, bits.numel()), kThreads, keep_bits_of<T>, elements<T>(x),
           elements<std::uint8_t>(bits), x.numel(), is_aligned(x) && is_aligned(out), elements<T>(out));
  });
}

}  // namespace mnemo::cuda
