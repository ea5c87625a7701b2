// Elements as kernels read and write them: several at a time where memory allows, computed in the type that the dtype
// asks for.
#pragma once

#include <cstdint>

#include <mnemo/core/array.h>
#include <mnemo/core/host_device.h>

namespace mnemo::cuda {

/// `N` neighbouring elements, moved by one instruction when N * sizeof(T) is 4, 8 or 16.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

/// How many elements of a type (of the widest of several) move in 16 bytes.
template <class... T>
inline constexpr int kPerVector = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// The first element of a dense or strided array of element type T.
template <class T>
T* elements(const Array& array) {
  return array.defined() ? reinterpret_cast<T*>(array.storage()->data()) + array.layout().offset : nullptr;
}

/// Whether packs of 16 bytes can be read from a pointer.
inline bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

/// The switch over the four floating-point dtypes. REQUIRES: is_floating(dtype).
template <class F>
void visit_floating(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float64:
      return f(double{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    default:
      return f(float{});
  }
}

}  // namespace mnemo::cuda
