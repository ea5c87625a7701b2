// Elements of any dtype through buffers of the type that is computed in, a few hundred at a time; memory that
// already has that type and unit stride is used in place.
#pragma once

#include <cstdint>

#include <mnemo/core/array.h>
#include <mnemo/core/cpu/walk.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

inline constexpr std::int64_t kBuffer = 512;   ///< elements per buffer: a few stay in the first-level cache
inline constexpr std::int64_t kGrain = 32768;  ///< elements per thread chunk: about the cost of waking a thread

/// Reads `count` elements at `offset` (in elements, `stride` apart) into `to`. C: float, double or int64.
template <class C>
void load(const Array& from, std::int64_t offset, std::int64_t stride, std::int64_t count, C* to);
/// The reverse.
template <class C>
void store(const C* from, std::int64_t count, const Array& to, std::int64_t offset, std::int64_t stride);

/// The elements themselves where they can be used in place, else nullptr.
template <class C>
C* in_place(const Array& array, std::int64_t offset, std::int64_t stride) {
  if (array.dtype() != dtype_of<C>() || stride != 1) return nullptr;
  return reinterpret_cast<C*>(array.storage()->data()) + offset;
}

/// out = kernel(inputs...) element by element; kernel(const C* const* inputs, C* out, count).
template <class C, std::size_t N, class Kernel>
void elementwise(const Array& out, const std::array<const Array*, N>& inputs, const Kernel& kernel) {
  std::array<const Array*, N + 1> arrays{&out};
  for (std::size_t n = 0; n < N; ++n) arrays[n + 1] = inputs[n];
  const Walk<N + 1> walk(arrays);
  parallel_for(walk.count(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    C buffers[N + 1][kBuffer];
    walk.visit(begin, end, [&](const auto& offsets, const auto& strides, std::int64_t length) {
      const C* in[N];
      C* to = in_place<C>(out, offsets[0], strides[0]);
      bool direct = to != nullptr;
      for (std::size_t n = 0; n < N; ++n) {
        in[n] = in_place<C>(*inputs[n], offsets[n + 1], strides[n + 1]);
        direct = direct && in[n] != nullptr;
      }
      if (direct) return kernel(in, to, length);
      for (std::int64_t done = 0; done < length; done += kBuffer) {
        const std::int64_t count = std::min(kBuffer, length - done);
        const C* from[N];
        for (std::size_t n = 0; n < N; ++n) {
          from[n] = in[n] ? in[n] + done : buffers[n];
          if (!in[n]) load(*inputs[n], offsets[n + 1] + done * strides[n + 1], strides[n + 1], count, buffers[n]);
        }
        C* result = to ? to + done : buffers[N];
        kernel(from, result, count);
        if (!to) store(buffers[N], count, out, offsets[0] + done * strides[0], strides[0]);
      }
    });
  });
}

}  // namespace mnemo::cpu
