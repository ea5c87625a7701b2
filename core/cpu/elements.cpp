#include <mnemo/core/cpu/elements.h>

namespace mnemo::cpu {

template <class C>
void load(const Array& from, std::int64_t offset, std::int64_t stride, std::int64_t count, C* to) {
  visit(from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* source = reinterpret_cast<const T*>(from.storage()->data()) + offset;
    for (std::int64_t i = 0; i < count; ++i) to[i] = cast<C>(source[i * stride]);
  });
}

template <class C>
void store(const C* from, std::int64_t count, const Array& to, std::int64_t offset, std::int64_t stride) {
  visit(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* target = reinterpret_cast<T*>(to.storage()->data()) + offset;
    for (std::int64_t i = 0; i < count; ++i) target[i * stride] = cast<T>(from[i]);
  });
}

#define MNEMO_INSTANTIATE(C)                                                         \
  template void load<C>(const Array&, std::int64_t, std::int64_t, std::int64_t, C*); \
  template void store<C>(const C*, std::int64_t, const Array&, std::int64_t, std::int64_t);
MNEMO_INSTANTIATE(float)
MNEMO_INSTANTIATE(double)
MNEMO_INSTANTIATE(std::int64_t)
#undef MNEMO_INSTANTIATE

}  // namespace mnemo::cpu
