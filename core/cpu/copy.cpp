// copy, fill, read, write: elements moved as they are or cast.
#include <cstring>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>

namespace mnemo::cpu {

namespace {

constexpr std::int64_t kTile = 32;  ///< elements of a tile's side: it lies in the first-level cache in both arrays

/// The dimension along which elements of the source (the second array) are neighbours, where those of the target are
/// neighbours along the innermost one; or -1.
int transposed_dimension(const Walk<2>& walk) {
  const int inner = walk.rank() - 1;
  if (walk.strides(inner)[0] != 1 || walk.strides(inner)[1] <= 1 || walk.size(inner) < 8) return -1;
  for (int d = 0; d < inner; ++d) {
    if (walk.strides(d)[1] == 1 && walk.size(d) >= 8) return d;
  }
  return -1;
}

/// Copies tile by tile: row by row, every element would be in a cache line of its own on one of the two sides.
template <class To, class From>
void copy_transposed(const Walk<2>& walk, int across, const From* from, To* to) {
  const int inner = walk.rank() - 1;
  const std::int64_t columns = walk.size(inner), rows = walk.size(across);
  const std::int64_t tiles_inward = (columns + kTile - 1) / kTile, tiles_across = (rows + kTile - 1) / kTile;
  const std::int64_t planes = walk.count() / (columns * rows);
  const std::int64_t from_step = walk.strides(inner)[1], to_step = walk.strides(across)[0];
  parallel_for(
      planes * tiles_across * tiles_inward, kGrain / (kTile * kTile), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t tile = begin; tile < end; ++tile) {
          const std::int64_t column = tile % tiles_inward * kTile, row = tile / tiles_inward % tiles_across * kTile;
          std::int64_t rest = tile / tiles_inward / tiles_across;
          std::int64_t to_at = walk.base()[0] + column + row * to_step,
                       from_at = walk.base()[1] + column * from_step + row;
          for (int d = inner - 1; d >= 0; --d) {
            if (d == across) continue;
            const std::int64_t index = rest % walk.size(d);
            rest /= walk.size(d);
            to_at += index * walk.strides(d)[0], from_at += index * walk.strides(d)[1];
          }
          const std::int64_t width = std::min(kTile, columns - column), height = std::min(kTile, rows - row);
          for (std::int64_t i = 0; i < height; ++i) {
            for (std::int64_t j = 0; j < width; ++j)
              to[to_at + i * to_step + j] = cast<To>(from[from_at + j * from_step + i]);
          }
        }
      });
}

template <class To, class From>
void copy_elements(const Array& from, const Array& to) {
  const Walk<2> walk({&to, &from});
  if (const int across = transposed_dimension(walk); across >= 0) {
    return copy_transposed(walk, across, reinterpret_cast<const From*>(from.storage()->data()),
                           reinterpret_cast<To*>(to.storage()->data()));
  }
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
