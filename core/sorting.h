// How rows are put in order: elements as numbers that compare as they do, words that also say where they were, and the
// steps in which a GPU does it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

#include <mnemo/core/dtype.h>
#include <mnemo/core/host_device.h>
#include <mnemo/core/shape.h>
#include <mnemo/memory/bytes.h>

namespace mnemo {

/// Rows of `size` elements, of which the first `count` in order are wanted: 0 < count <= size.
struct SortSizes {
  std::int64_t rows = 1, size = 1, count = 1;
};

/// Of 64 bits for what has as many, and of 32 otherwise.
template <class T>
using SortKey = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

/// A number in whose order x stands: NaN is above all other numbers, and -0 is 0.
template <class T>
MNEMO_HOST_DEVICE SortKey<T> sort_key(T x) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
    return sort_key(static_cast<float>(x));
  } else {
    using Key = SortKey<T>;
    constexpr Key top = Key{1} << (8 * sizeof(Key) - 1);
    if constexpr (std::is_floating_point_v<T>) {
      if (x != x) return static_cast<Key>(~Key{0});
      if (x == 0) return top;
      const Key bits = std::bit_cast<Key>(x);
      return static_cast<Key>((bits & top) != 0 ? ~bits : bits | top);
    } else {
      return static_cast<Key>(static_cast<Key>(x) ^ top);  // the least integer becomes 0
    }
  }
}

/// A key of 32 bits above a place below 2^32: words in order are elements in order, equal ones as they came.
struct NarrowWord {
  std::uint64_t bits;

  MNEMO_HOST_DEVICE static NarrowWord of(std::uint32_t key, std::int64_t place) {
    return {std::uint64_t{key} << 32 | static_cast<std::uint64_t>(place)};
  }
  MNEMO_HOST_DEVICE std::int64_t place() const { return static_cast<std::int64_t>(bits & 0xffffffffu); }
  MNEMO_HOST_DEVICE friend bool operator<(NarrowWord a, NarrowWord b) { return a.bits < b.bits; }
};

/// The same with any key and any place.
struct alignas(16) WideWord {
  std::uint64_t key;
  std::int64_t where;

  MNEMO_HOST_DEVICE static WideWord of(std::uint64_t key, std::int64_t place) { return {key, place}; }
  MNEMO_HOST_DEVICE std::int64_t place() const { return where; }
  MNEMO_HOST_DEVICE friend bool operator<(WideWord a, WideWord b) {
    return a.key < b.key || (a.key == b.key && a.where < b.where);
  }
};

/// The word of an element at a place; in descending order larger ones come first.
template <class Word, class T>
MNEMO_HOST_DEVICE Word sort_word(T x, std::int64_t place, bool descending) {
  const SortKey<T> key = sort_key(x);
  return Word::of(descending ? static_cast<SortKey<T>>(~key) : key, place);
}

/// Whether NarrowWord has room for the elements of a row.
constexpr bool has_narrow_words(DType dtype, std::int64_t size) {
  return size_of(dtype) <= 4 && size <= std::int64_t{1} << 32;
}

/// Words that a block of a GPU puts in order by itself: 32 KiB of wide ones.
inline constexpr std::int64_t kSortTile = 2048;

/// A row on its way: `length` words, of which `run` after `run` are in order; the last ones may be fewer.
struct SortRuns {
  std::int64_t length = 1, run = 1;

  /// What is left if `width` words after `width` are put in order, and no more than `count` of each stay.
  SortRuns joined(std::int64_t width, std::int64_t count) const {
    const std::int64_t whole = length / width, rest = length % width, most = std::min(width, count);
    return {whole * most + std::min(rest, count), most};
  }
};

/// The steps of a GPU: blocks put tiles of the rows in order, of which `count` words stay. Where those are few, blocks
/// take tiles of what stayed, and otherwise neighbouring runs are joined, until there is one.
struct SortPlan {
  static constexpr int kMostSteps = 64;

  explicit SortPlan(const SortSizes& sizes) {
    runs[0] = {sizes.size, 1};
    do {
      runs[static_cast<std::size_t>(steps) + 1] = before(steps).joined(width(steps), sizes.count);
      ++steps;
    } while (before(steps).length > before(steps).run);
  }

  /// The rows before step `step`, counted from 0.
  const SortRuns& before(int step) const { return runs[static_cast<std::size_t>(step)]; }
  const SortRuns& after(int step) const { return before(step + 1); }
  bool has_tiles(int step) const { return step == 0 || 2 * before(step).run <= kSortTile; }
  std::int64_t width(int step) const { return has_tiles(step) ? kSortTile : 2 * before(step).run; }
  /// Words of a row that step `last` - 1, - 3, ... leave (`turn` 1), or - 2, - 4, ... (`turn` 2): each turn writes to
  /// memory of its own, and the last step to the result.
  std::int64_t words(int turn) const {
    std::int64_t most = 0;
    for (int step = steps - 1 - turn; step >= 0; step -= 2) most = std::max(most, after(step).length);
    return most;
  }

  std::array<SortRuns, kMostSteps + 1> runs{};
  int steps = 0;
};

/// Bytes in which a GPU keeps words between steps. Narrow ones of whole rows take turns with the result's memory.
inline memory::Bytes gpu_sort_workspace(const SortSizes& sizes, DType dtype) {
  const SortPlan plan(sizes);
  const bool narrow = has_narrow_words(dtype, sizes.size);
  const std::int64_t second = narrow && sizes.count == sizes.size ? 0 : plan.words(2);
  return checked_multiply(sizes.rows * (plan.words(1) + second), narrow ? 8 : 16, "the bytes of a workspace");
}

}  // namespace mnemo
