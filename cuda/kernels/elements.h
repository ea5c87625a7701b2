// Elements as kernels read and write them: several at a time where memory allows, computed in the type that the dtype
// asks for.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <mnemo/core/array.h>
#include <mnemo/core/host_device.h>
#include <mnemo/core/visit_floating.h>

#include <cuda_runtime.h>

/// Before a loop of few turns over a thread's own elements: unless it is unrolled they lie in memory, not in registers.
#ifdef __CUDA_ARCH__
#define MNEMO_UNROLL _Pragma("unroll")
#else
#define MNEMO_UNROLL
#endif

namespace mnemo::cuda {

/// `N` neighbouring elements, moved by one instruction when N * sizeof(T) is 4, 8 or 16.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

/// How many elements of a type (of the widest of several) move in 16 bytes.
template <class... T>
inline constexpr int kPerVector = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// The N elements that begin at `from` or `to`, which is aligned to them.
template <int N, class T>
MNEMO_HOST_DEVICE Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
MNEMO_HOST_DEVICE void store(const Pack<T, N>& pack, T* to) {
#ifdef __CUDA_ARCH__
  // Left to the compiler, it is four stores where several packs are written one after the other.
  if constexpr (sizeof(pack) == 16) {
    const auto words = std::bit_cast<Pack<std::uint32_t, 4>>(pack);
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "r"(words.values[0]), "r"(words.values[1]), "r"(words.values[2]),
                   "r"(words.values[3])
                 : "memory");
    return;
  }
#endif
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

/// A pack as it comes from memory, half types as words of two. Where packs are loaded under a condition only this form
/// lets the next load start at once: halves would be taken apart right behind the load, which waits for its end.
template <class T, int N>
using Raw = std::conditional_t<sizeof(T) == 2 && N % 2 == 0, Pack<std::uint32_t, (N + 1) / 2>, Pack<T, N>>;

template <int N, class T>
MNEMO_HOST_DEVICE Raw<T, N> load_raw(const T* from) {
  return *reinterpret_cast<const Raw<T, N>*>(from);
}
template <class T, int N>
MNEMO_HOST_DEVICE Raw<T, N> raw(const Pack<T, N>& pack) {
  if constexpr (std::is_same_v<Raw<T, N>, Pack<T, N>>)
    return pack;
  else
    return std::bit_cast<Raw<T, N>>(pack);
}
template <class T, int N>
MNEMO_HOST_DEVICE Pack<T, N> unpacked(const Raw<T, N>& raw) {
  if constexpr (std::is_same_v<Raw<T, N>, Pack<T, N>>)
    return raw;
  else
    return std::bit_cast<Pack<T, N>>(raw);
}

/// Element `i` of a pack as it is computed in: of a half type an instruction for each, where taking the pack apart
/// first costs two.
template <class T, int N>
MNEMO_HOST_DEVICE compute_type<T> value_of(const Raw<T, N>& raw, int i) {
  if constexpr (std::is_same_v<Raw<T, N>, Pack<T, N>>) {
    return cast<compute_type<T>>(raw.values[i]);
  } else {
    const std::uint32_t word = raw.values[i / 2];
    if constexpr (std::is_same_v<T, bfloat16>)
      return std::bit_cast<float>(i % 2 == 0 ? word << 16 : word & 0xffff0000U);
    else
      return static_cast<float>(std::bit_cast<T>(static_cast<std::uint16_t>(i % 2 == 0 ? word : word >> 16)));
  }
}

/// The first element of a dense or strided array of element type T.
template <class T>
T* elements(const Array& array) {
  return array.defined() ? reinterpret_cast<T*>(array.storage()->data()) + array.layout().offset : nullptr;
}

/// The first byte of the first element.
inline std::byte* first_byte(const Array& array) {
  return array.storage()->data() + array.layout().offset * size_of(array.dtype());
}

/// Whether packs of 16 bytes can be read from a pointer.
inline bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
inline bool is_aligned(const Array& array) { return is_aligned(first_byte(array)); }

}  // namespace mnemo::cuda
