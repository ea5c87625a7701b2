// copy, fill, read, write: elements moved as they are or cast.
#include <cstring>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>

namespace mnemo::cpu {

namespace {

template <class To, class From>
void copy_elements(const Array& from, const Array& to) {
  const Walk<2> walk({&to, &from});
  parallel_for(walk.count(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    walk.visit(begin, end, [&](const auto& offsets, const auto& strides, std::int64_t length) {
      To* target = reinterpret_cast<To*>(to.storage()->data()) + offsets[0];
      const From* source = reinterpret_cast<const From*>(from.storage()->data()) + offsets[1];
      if constexpr (std::is_same_v<To, From>) {
        if (strides[0] == 1 && strides[1] == 1) {
          std::memmove(target, source, static_cast<std::size_t>(length) * sizeof(To));
          return;
        }
      }
      for (std::int64_t i = 0; i < length; ++i) target[i * strides[0]] = cast<To>(source[i * strides[1]]);
    });
  });
}

}  // namespace

void CpuBackend::copy(const Array& from, const Array& to) {
  visit(from.dtype(), [&](auto source) {
    visit(to.dtype(), [&](auto target) { copy_elements<decltype(target), decltype(source)>(from, to); });
  });
}

void CpuBackend::fill(const Array& out, double value) {
  visit(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T element = cast<T>(value);
    const Walk<1> walk({&out});
    parallel_for(walk.count(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      walk.visit(begin, end, [&](const auto& offsets, const auto& strides, std::int64_t length) {
        T* target = reinterpret_cast<T*>(out.storage()->data()) + offsets[0];
        for (std::int64_t i = 0; i < length; ++i) target[i * strides[0]] = element;
      });
    });
  });
}

void CpuBackend::read(const Array& from, void* host) {
  std::memcpy(host, from.storage()->data() + from.layout().offset * size_of(from.dtype()),
              static_cast<std::size_t>(from.bytes()));
}

void CpuBackend::write(const void* host, const Array& to) {
  std::memcpy(to.storage()->data() + to.layout().offset * size_of(to.dtype()), host,
              static_cast<std::size_t>(to.bytes()));
}

}  // namespace mnemo::cpu
