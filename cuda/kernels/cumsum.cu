// cumsum: lines of (outer, size, inner), each by a thread, or by a block that takes as many elements at a time as it
// has threads.
#include <type_traits>

#include <mnemo/cuda/kernels/lines.h>

namespace mnemo::cuda {

namespace {

template <class E>
using Sum = std::conditional_t<std::is_same_v<E, std::int64_t>, std::uint64_t, double>;  // integers wrap around

template <class E>
__device__ Sum<E> wide(E x) {
  if constexpr (std::is_same_v<E, std::int64_t>)
    return static_cast<std::uint64_t>(x);
  else
    return cast<double>(x);
}
template <class E>
__device__ E narrow(Sum<E> sum) {
  if constexpr (std::is_same_v<E, std::int64_t>)
    return static_cast<std::int64_t>(sum);
  else
    return cast<E>(sum);
}

/// The sum of the values of this thread and of those before it in its warp.
template <class T>
__device__ T sum_in_warp(T value, int lane) {
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(distance));
    if (lane >= distance) value += before;
  }
  return value;
}

template <class E>
__global__ void __launch_bounds__(kThreads) sums_by_threads(Lines lines, bool reverse, const E* x, E* out) {
  for_each_line<1>(lines, [&](std::int64_t, std::int64_t begin, int) {
    Sum<E> sum = 0;
    for (std::int64_t i = 0; i < lines.size; ++i) {
      const std::int64_t at = begin + (reverse ? lines.size - 1 - i : i) * lines.inner;
      sum += wide(x[at]);
      out[at] = narrow<E>(sum);
    }
  });
}

template <class E>
__global__ void __launch_bounds__(kThreads) sums_by_blocks(Lines lines, bool reverse, const E* x, E* out) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ Sum<E> of_warps[kWarps];
  for_each_line<kThreads>(lines, [&](std::int64_t, std::int64_t begin, int member) {
    const int warp = member / kWarp;
    Sum<E> before = 0;  // of what the block has passed
    for (std::int64_t first = 0; first < lines.size; first += kThreads) {
      const std::int64_t i = first + member;
      const std::int64_t at = begin + (reverse ? lines.size - 1 - i : i) * lines.inner;
      Sum<E> sum = sum_in_warp(i < lines.size ? wide(x[at]) : Sum<E>{0}, member % kWarp);
      if (member % kWarp == kWarp - 1) of_warps[warp] = sum;
      __syncthreads();
      Sum<E> all = before;
      for (int w = 0; w < kWarps; ++w) {
        if (w == warp) sum += all;
        all += of_warps[w];
      }
      before = all;
      if (i < lines.size) out[at] = narrow<E>(sum);
      __syncthreads();  // before the next sums are written there
    }
  });
}

template <class E>
void add_up(const CudaBackend& backend, const Lines& lines, bool reverse, const Array& x, const Array& out) {
  // Threads alone where neighbours read neighbours and there are enough of them, or where lines are short.
  const bool many = lines.count() >= std::int64_t{512} * backend.multiprocessors();
  const bool alone = lines.size <= 16 || (lines.inner >= kWarp / 2 && (many || lines.size <= kThreads));
  const unsigned blocks = blocks_for(backend, alone ? lines.count() : lines.count() * kThreads);
  launch(backend, blocks, kThreads, alone ? sums_by_threads<E> : sums_by_blocks<E>, lines, reverse, elements<E>(x),
         elements<E>(out));
}

}  // namespace

void CudaBackend::cumsum(const Array& x, int axis, bool reverse, const Array& out) {
  Lines lines{1, x.size(axis), 1};
  for (int other = 0; other < x.rank(); ++other)
    (other < axis ? lines.outer : lines.inner) *= other == axis ? 1 : x.size(other);
  if (x.dtype() == DType::int64) return add_up<std::int64_t>(*this, lines, reverse, x, out);
  visit_floating(x.dtype(), [&](auto zero) { add_up<decltype(zero)>(*this, lines, reverse, x, out); });
}

}  // namespace mnemo::cuda
