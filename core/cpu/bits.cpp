// sign_bits, keep_bits: eight elements in the order of memory make one byte.
#include <algorithm>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

constexpr std::int64_t kBytesPerChunk = 4096;

/// Calls body(byte, first element, elements) for every byte, on several threads.
template <class Body>
void for_each_byte(std::int64_t elements, const Body& body) {
  parallel_for((elements + 7) / 8, kBytesPerChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t byte = begin; byte < end; ++byte)
      body(byte, 8 * byte, std::min<std::int64_t>(8, elements - 8 * byte));
  });
}

}  // namespace

void CpuBackend::sign_bits(const Array& x, const Array& bits) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    using T = compute_type<E>;
    const E* from = x.data<E>();
    auto* to = bits.data<std::uint8_t>();
    for_each_byte(x.numel(), [&](std::int64_t byte, std::int64_t first, std::int64_t count) {
      unsigned set = 0;
      for (std::int64_t i = 0; i < count; ++i)
        set |= static_cast<unsigned>(cast<T>(from[first + i]) > T{0}) << static_cast<unsigned>(i);
      to[byte] = static_cast<std::uint8_t>(set);
    });
  });
}

void CpuBackend::keep_bits(const Array& x, const Array& bits, const Array& out) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const E* from = x.data<E>();
    E* to = out.data<E>();
    const auto* set = bits.data<std::uint8_t>();
    for_each_byte(x.numel(), [&](std::int64_t byte, std::int64_t first, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) to[first + i] = (set[byte] >> i) & 1 ? from[first + i] : E{};
    });
  });
}

}  // namespace mnemo::cpu
