// sort: rows of words (core/sorting.h), tile by tile in the memory that a block shares, then run by run, two of which
// are joined at a time. Each word finds its place in a pair of runs by searching the other one.
#include <mnemo/core/sorting.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kTile = static_cast<int>(kSortTile), kEach = kTile / kThreads;

/// Where word `i` of `words` belongs in its pair of runs of `width`, which begins at `pair`, counted from there. The
/// runs end at `length` at the latest. No two words are equal.
template <class Word, class I>
__device__ I place_in_pair(const Word* words, I length, I pair, I width, I i) {
  const Word word = words[i];
  const bool is_first = i - pair < width;
  const I other = is_first ? pair + width : pair, own = is_first ? pair : pair + width;
  I low = other, high = other + width < length ? other + width : length;  // of a run that is not there low is higher
  while (low < high) {
    const I middle = low + (high - low) / 2;
    if (words[middle] < word)
      low = middle + 1;
    else
      high = middle;
  }
  return i - own + low - other;
}

/// The word of an element, or one that there is already.
template <class Word, class E>
__device__ Word word_of(E x, std::int64_t place, bool descending) {
  if constexpr (std::is_same_v<E, Word>)
    return x;
  else
    return sort_word<Word>(x, place, descending);
}

/// Words, or in the last step their places.
template <class Word>
struct Target {
  Word* words;  ///< or null
  std::int64_t* places;

  __device__ void put(std::int64_t at, const Word& word) const {
    if (words != nullptr)
      words[at] = word;
    else
      places[at] = word.place();
  }
};

/// A block takes a tile of a row, or as many whole rows as there is room for.
template <class E, class Word>
__global__ void __launch_bounds__(kThreads)
    sort_tiles(std::int64_t rows, SortRuns before, SortRuns after, bool descending, const E* from, Target<Word> to) {
  __shared__ Word tile[kTile];
  const std::int64_t length = before.length, tiles = (length + kTile - 1) / kTile;
  const int group = tiles > 1 ? 1 : kTile / static_cast<int>(length);
  const std::int64_t items = (rows + group - 1) / group * tiles;
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const std::int64_t row = item / tiles * group, number = item % tiles, first = number * kTile;
    const int size = static_cast<int>(length - first < kTile ? length - first : kTile);  // of what is put in order
    const int count = static_cast<int>(rows - row < group ? rows - row : group), total = count * size;
    int places[kEach];  // of this thread's words, from the beginning of their row
    MNEMO_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int i = static_cast<int>(threadIdx.x) + k * kThreads;
      places[k] = i % size;
      if (i < total) tile[i] = word_of<Word>(from[row * length + first + i], first + places[k], descending);
    }
    __syncthreads();
    for (int width = 1; width < size; width *= 2) {
      Word words[kEach];
      int targets[kEach];
      MNEMO_UNROLL
      for (int k = 0; k < kEach; ++k) {
        const int i = static_cast<int>(threadIdx.x) + k * kThreads;
        if (i >= total) continue;
        const int begin = i - places[k], pair = places[k] / (2 * width) * (2 * width);
        words[k] = tile[i];
        targets[k] = begin + pair + place_in_pair(tile + begin, size, pair, width, places[k]);
      }
      __syncthreads();
      MNEMO_UNROLL
      for (int k = 0; k < kEach; ++k) {
        if (static_cast<int>(threadIdx.x) + k * kThreads < total) tile[targets[k]] = words[k];
      }
      __syncthreads();
    }
    MNEMO_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int i = static_cast<int>(threadIdx.x) + k * kThreads;
      if (i < total && places[k] < after.run)
        to.put((row + i / size) * after.length + number * after.run + places[k], tile[i]);
    }
    __syncthreads();  // before the next words are written there
  }
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    join_runs(std::int64_t rows, SortRuns before, SortRuns after, const Word* from, Target<Word> to) {
  const std::int64_t width = before.run;
  for (std::int64_t item = first_item(); item < rows * before.length; item += item_step()) {
    const std::int64_t row = item / before.length, i = item - row * before.length;
    const std::int64_t number = i / (2 * width), pair = number * 2 * width;
    const Word* const words = from + row * before.length;
    const std::int64_t place = place_in_pair(words, before.length, pair, width, i);
    if (place < after.run) to.put(row * after.length + number * after.run + place, words[i]);
  }
}

template <class E, class Word>
void sort_rows(const CudaBackend& backend, const SortCall& call) {
  const SortPlan plan(call.sizes);
  const std::int64_t rows = call.sizes.rows;
  auto* const places = elements<std::int64_t>(call.indices);
  // Whoever writes next to last writes to the first; whoever writes before to the second, which may be the result's.
  Word* const first = call.workspace.defined() ? reinterpret_cast<Word*>(first_byte(call.workspace)) : nullptr;
  Word* second = first + rows * plan.words(1);
  if constexpr (sizeof(Word) == sizeof(std::int64_t)) {
    if (call.sizes.count == call.sizes.size) second = reinterpret_cast<Word*>(places);
  }
  const auto tiles = [&](const SortRuns& before, const SortRuns& after, const auto* from, const Target<Word>& to) {
    using From = std::remove_cvref_t<decltype(*from)>;
    const std::int64_t each = before.length > kTile ? 1 : kTile / before.length;
    const std::int64_t items = (rows + each - 1) / each * ((before.length + kTile - 1) / kTile);
    launch(backend, blocks_for(backend, items * kThreads), kThreads, sort_tiles<From, Word>, rows, before, after,
           call.descending, from, to);
  };
  const Word* from = nullptr;
  for (int step = 0; step < plan.steps; ++step) {
    const int left = plan.steps - 1 - step;
    const Target<Word> to{left == 0 ? nullptr : left % 2 == 1 ? first : second, places};
    const SortRuns &before = plan.before(step), &after = plan.after(step);
    if (step == 0)
      tiles(before, after, elements<const E>(call.x), to);
    else if (plan.has_tiles(step))
      tiles(before, after, from, to);
    else
      launch(backend, blocks_for(backend, rows * before.length), kThreads, join_runs<Word>, rows, before, after, from,
             to);
    from = to.words;
  }
}

}  // namespace

void CudaBackend::sort(const SortCall& call) {
  // A bool is a byte that is 0 or 1.
  visit(call.x.dtype() == DType::boolean ? DType::uint8 : call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    if constexpr (sizeof(E) <= 4 && !std::is_same_v<E, bool>) {
      if (has_narrow_words(dtype_of<E>(), call.sizes.size)) return sort_rows<E, NarrowWord>(*this, call);
    }
    if constexpr (!std::is_same_v<E, bool>) sort_rows<E, WideWord>(*this, call);
  });
}

}  // namespace mnemo::cuda
