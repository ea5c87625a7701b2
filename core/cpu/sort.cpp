#include <algorithm>
#include <functional>
#include <numeric>
#include <type_traits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Rows of that many narrow words are put in order by their digits, with two copies of them on the stack: 128 KiB at
/// most.
constexpr std::int64_t kLeastByDigits = 64, kMostByDigits = 8192;

/// By the four bytes of the keys, the lowest first: words with equal ones stay as they come.
void sort_by_digits(std::uint64_t* words, std::int64_t size) {
  std::uint64_t room[kMostByDigits];
  std::uint32_t places[4][256] = {};  // how many words have a digit, and then where the next one goes
  const auto digit = [](std::uint64_t word, int number) { return word >> (32 + 8 * number) & 0xff; };
  for (std::int64_t i = 0; i < size; ++i) {
    for (int number = 0; number < 4; ++number) ++places[number][digit(words[i], number)];
  }
  std::uint64_t *from = words, *to = room;
  for (int number = 0; number < 4; ++number) {
    std::uint32_t(&next)[256] = places[number];
    if (next[digit(from[0], number)] == size) continue;  // all are the same
    std::exclusive_scan(next, next + 256, next, 0U);
    for (std::int64_t i = 0; i < size; ++i) to[next[digit(from[i], number)]++] = from[i];
    std::swap(from, to);
  }
  if (from != words) std::copy(from, from + size, words);
}

/// The first `count` of make(0), ... make(size - 1) in order, in the memory of the result and no other.
template <class Word, class Make, class Less>
void take_first(Word* words, std::int64_t size, std::int64_t count, const Make& make, const Less& less) {
  if constexpr (std::is_same_v<Word, std::uint64_t>) {
    // Also where only some are wanted, unless they are few: a heap of many takes longer.
    if (size >= kLeastByDigits && size <= kMostByDigits && 8 * count >= size) {
      Word all[kMostByDigits];
      for (std::int64_t i = 0; i < size; ++i) all[i] = make(i);
      sort_by_digits(all, size);
      std::copy(all, all + count, words);
      return;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) words[i] = make(i);
  if (count == size) return std::sort(words, words + size, less);
  std::make_heap(words, words + count, less);  // the last of those that are in comes first
  for (std::int64_t i = count; i < size; ++i) {
    const Word word = make(i);
    if (!less(word, words[0])) continue;
    std::pop_heap(words, words + count, less);
    words[count - 1] = word;
    std::push_heap(words, words + count, less);
  }
  std::sort_heap(words, words + count, less);
}

template <class E>
void sort_row(const SortCall& call, const E* x, std::int64_t* places) {
  const std::int64_t size = call.sizes.size, count = call.sizes.count;
  if constexpr (sizeof(E) <= 4) {
    if (has_narrow_words(dtype_of<E>(), size)) {
      auto* const words = reinterpret_cast<std::uint64_t*>(places);
      take_first(
          words, size, count, [&](std::int64_t i) { return sort_word<NarrowWord>(x[i], i, call.descending).bits; },
          std::less<>());
      for (std::int64_t i = 0; i < count; ++i) places[i] = NarrowWord{words[i]}.place();
      return;
    }
  }
  const auto word = [&](std::int64_t i) { return sort_word<WideWord>(x[i], i, call.descending); };
  take_first(
      places, size, count, [](std::int64_t i) { return i; },
      [&](std::int64_t a, std::int64_t b) { return word(a) < word(b); });
}

}  // namespace

void CpuBackend::sort(const SortCall& call) {
  const SortSizes& sizes = call.sizes;
  visit(call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const E* const x = call.x.data<E>();
    auto* const places = call.indices.data<std::int64_t>();
    parallel_for(sizes.rows, std::max<std::int64_t>(1, 1024 / sizes.size), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) sort_row(call, x + row * sizes.size, places + row * sizes.count);
    });
  });
}

}  // namespace mnemo::cpu
