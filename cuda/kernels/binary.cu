// binary, compare: packs of 16 bytes along the innermost dimension where memory allows, an operand that is repeated
// there (a bias, a number) being read once a pack; else element by element.
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kSingles = 4;  ///< elements that a thread has on the way at once where packs are not possible

/// What T is computed in. Integers wrap, so that the smallest that holds intermediate results does.
template <class T>
using arithmetic_type = std::conditional_t<sizeof(T) == 1, std::int32_t, compute_type<T>>;

#define MNEMO_LOOP_CASE(name, functor)                                                                      \
  case Op::name:                                                                                            \
    MNEMO_UNROLL                                                                                            \
    for (int i = 0; i < N; ++i) out[i] = cast<R>(functors::functor::forward(cast<C>(a[i]), cast<C>(b[i]))); \
    return;

/// All threads take the same branch.
template <class T, class R, int N>
__device__ void apply(BinaryOp op, const T (&a)[N], const T (&b)[N], R (&out)[N]) {
  using C = arithmetic_type<T>;
  using Op = BinaryOp;
  switch (op) { MNEMO_BINARY_OPS(MNEMO_LOOP_CASE) }
}
template <class T, class R, int N>
__device__ void apply(CompareOp op, const T (&a)[N], const T (&b)[N], R (&out)[N]) {
  using C = arithmetic_type<T>;
  using Op = CompareOp;
  switch (op) { MNEMO_COMPARE_OPS(MNEMO_LOOP_CASE) }
}

/// An operand: `step` is its innermost stride, 0 or 1 in packs.
template <class T>
struct Operand {
  const T* first;
  int step;
};

/// Of an element that is repeated only the lowest bytes.
template <int N, class T>
__device__ Raw<T, N> read(const Operand<T>& from, std::int64_t at, int valid) {
  if (from.step == 0) {
    Raw<T, N> one = {};
    if constexpr (sizeof(T) == 2)
      one.values[0] = std::bit_cast<std::uint16_t>(from.first[at]);
    else
      one.values[0] = from.first[at];
    return one;
  }
  if (valid == N) return load_raw<N>(from.first + at);
  Pack<T, N> pack = {};
  MNEMO_UNROLL
  for (int i = 0; i < N; ++i) {
    if (i < valid) pack.values[i] = from.first[at + i];
  }
  return raw(pack);
}

/// The elements of what was read.
template <class T, int N>
__device__ Pack<T, N> spread(const Operand<T>& from, Raw<T, N> words) {
  if (from.step == 0) {
    auto one = words.values[0];
    if constexpr (sizeof(T) == 2) one |= one << 16;
    MNEMO_UNROLL
    for (auto& word : words.values) word = one;
  }
  return unpacked<T, N>(words);
}

/// index: out, a, b, of runs of kPerVector<T>; the very last one has `last` elements.
template <class T, class R, class Op>
__global__ void __launch_bounds__(kThreads)
    binary_packs(Op op, Index<3> index, Operand<T> a, Operand<T> b, R* out, int last) {
  constexpr int N = kPerVector<T>;
  const std::int64_t step = item_step();
  // Two packs on the way: the loads of the second do not wait for the stores of the first.
  for (std::int64_t first = first_item(); first < index.count; first += 2 * step) {
    const std::int64_t second = first + step;
    const bool both = second < index.count;
    std::int64_t at[2][3];
    Raw<T, N> left[2], right[2];
    index.offsets(first, at[0]);
    const int valid[2] = {first == index.count - 1 ? last : N, second == index.count - 1 ? last : N};
    left[0] = read<N>(a, at[0][1], valid[0]);
    right[0] = read<N>(b, at[0][2], valid[0]);
    if (both) {
      index.offsets(second, at[1]);
      left[1] = read<N>(a, at[1][1], valid[1]);
      right[1] = read<N>(b, at[1][2], valid[1]);
    }
    MNEMO_UNROLL
    for (int k = 0; k < 2; ++k) {
      if (k == 1 && !both) continue;
      R results[N];
      apply(op, spread<T, N>(a, left[k]).values, spread<T, N>(b, right[k]).values, results);
      R* to = out + at[k][0];
      if (valid[k] == N) {
        Pack<R, N> pack;
        MNEMO_UNROLL
        for (int i = 0; i < N; ++i) pack.values[i] = results[i];
        store(pack, to);
      } else {
        MNEMO_UNROLL
        for (int i = 0; i < N; ++i) {
          if (i < valid[k]) to[i] = results[i];
        }
      }
    }
  }
}

/// index: out, a, b, of elements.
template <class T, class R, class Op>
__global__ void __launch_bounds__(kThreads) binary_singles(Op op, Index<3> index, const T* a, const T* b, R* out) {
  const std::int64_t step = item_step();
  for (std::int64_t first = first_item(); first < index.count; first += kSingles * step) {
    std::int64_t to[kSingles];
    T left[kSingles], right[kSingles];
    R results[kSingles];
    MNEMO_UNROLL
    for (int k = 0; k < kSingles; ++k) {
      // Behind the last element its own first one once more: another thread's may be written in place meanwhile.
      const std::int64_t item = first + k * step;
      std::int64_t at[3];
      index.offsets(item < index.count ? item : first, at);
      to[k] = at[0];
      left[k] = a[at[1]];
      right[k] = b[at[2]];
    }
    apply(op, left, right, results);
    MNEMO_UNROLL
    for (int k = 0; k < kSingles; ++k) {
      if (first + k * step < index.count) out[to[k]] = results[k];
    }
  }
}

/// Whether packs of N elements of array n begin at multiples of N (or the element is repeated within a pack).
bool packs_fit(const Index<3>& index, int n, int per_pack, const Array& array) {
  if (reinterpret_cast<std::uintptr_t>(first_byte(array)) %
      static_cast<std::size_t>(per_pack * size_of(array.dtype()))) {
    return n > 0 && index.strides[index.rank - 1][n] == 0;
  }
  const std::int64_t inner = index.strides[index.rank - 1][n];
  if (inner == 0 && n > 0) return true;
  bool fits = inner == 1;
  for (int d = 0; d < index.rank - 1; ++d) fits = fits && index.strides[d][n] % per_pack == 0;
  return fits;
}

template <class T, class R, class Op>
void run_as(const CudaBackend& backend, Op op, const Array& a, const Array& b, const Array& out) {
  Index<3> index({&out, &a, &b});
  if constexpr (std::is_floating_point_v<compute_type<T>>) {
    constexpr int N = kPerVector<T>;
    const bool whole = index.rank == 1 || (index.rank > 1 && index.sizes[index.rank - 1] % N == 0);
    if (whole && packs_fit(index, 0, N, out) && packs_fit(index, 1, N, a) && packs_fit(index, 2, N, b)) {
      const int last = static_cast<int>((index.count - 1) % N) + 1;
      const auto& steps = index.strides[index.rank - 1];
      const Operand<T> left{elements<T>(a), static_cast<int>(steps[1])};
      const Operand<T> right{elements<T>(b), static_cast<int>(steps[2])};
      index.group(N);
      return launch(backend, blocks_for(backend, (index.count + 1) / 2), kThreads, binary_packs<T, R, Op>, op, index,
                    left, right, elements<R>(out), last);
    }
  }
  launch(backend, blocks_for(backend, (index.count + kSingles - 1) / kSingles), kThreads, binary_singles<T, R, Op>, op,
         index, elements<T>(a), elements<T>(b), elements<R>(out));
}

}  // namespace

void CudaBackend::binary(BinaryOp op, const Array& a, const Array& b, const Array& out) {
  if (out.numel() == 0) return;
  visit(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    run_as<T, T>(*this, op, a, b, out);
  });
}

void CudaBackend::compare(CompareOp op, const Array& a, const Array& b, const Array& out) {
  if (out.numel() == 0) return;
  visit(a.dtype(), [&](auto zero) { run_as<decltype(zero), bool>(*this, op, a, b, out); });
}

}  // namespace mnemo::cuda
