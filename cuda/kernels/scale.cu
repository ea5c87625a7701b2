// Loss scaling and norms: one read of each gradient, however many there are in one launch.
#include <cmath>

#include <mnemo/cuda/kernels/slots.h>

namespace mnemo::cuda {

namespace {

struct Entry {
  void* data;
  std::int64_t count;
  DType dtype;
  bool aligned;
};
using Table = Slots<Entry, 120>;

/// Calls body(pack) for the packs of a piece, and for single values where packs do not fit; what it makes of them is
/// written back if `writes`.
template <class E, class Body>
__device__ void each_pack(const Entry& entry, Piece piece, bool writes, Body&& body) {
  constexpr int N = kPerVector<E>, kAtOnce = 4;
  using Vector = Pack<E, N>;
  std::int64_t done = piece.begin;
  if (entry.aligned) {
    done = piece.end / N * N;  // a piece begins at a whole pack
    Vector* const packs = static_cast<Vector*>(entry.data);
    for (std::int64_t i = piece.begin / N + threadIdx.x; i < piece.end / N; i += kAtOnce * kThreads) {
      Vector values[kAtOnce];
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n)
        if (i + n * kThreads < piece.end / N) values[n] = packs[i + n * kThreads];
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (i + n * kThreads >= piece.end / N) continue;
        body(values[n]);
        if (writes) packs[i + n * kThreads] = values[n];
      }
    }
  }
  for (std::int64_t i = done + threadIdx.x; i < piece.end; i += kThreads) {
    Pack<E, 1>& single = static_cast<Pack<E, 1>*>(entry.data)[i];
    Pack<E, 1> value = single;
    body(value);
    if (writes) single = value;
  }
}

template <class C>
struct Unscale {
  C inverse;
  bool* bad;

  template <class E, int N>
  __device__ void operator()(Pack<E, N>& pack) const {
    // x * 0 is 0 where x is finite and NaN where it is not: a sum of them needs no branch.
    C sum = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const C value = cast<C>(pack.values[j]);
      sum += value * C{0};
      pack.values[j] = cast<E>(value * inverse);
    }
    if (sum != C{0}) *bad = true;
  }
};

__global__ void __launch_bounds__(kThreads) unscale_kernel(const Table table, const float* scale, float* found) {
  const int slot = table.find(static_cast<int>(blockIdx.x));
  const Entry& entry = table.entries[slot];
  const Piece piece(table.piece, static_cast<int>(blockIdx.x) - table.begins[slot], entry.count);
  bool bad = false;
  visit_floating(entry.dtype, [&](auto zero) {
    using E = decltype(zero);
    using C = compute_type<E>;
    const C inverse = scale != nullptr ? C{1} / static_cast<C>(*scale) : C{1};
    each_pack<E>(entry, piece, scale != nullptr, Unscale<C>{inverse, &bad});
  });
  if (bad) atomicExch(found, 1.0F);  // others may say the same at once
}

__global__ void update_scale_kernel(const ScaleRule rule, const float* found, float* scale, std::int32_t* good_steps) {
  if (*found != 0) {
    *scale = static_cast<float>(static_cast<double>(*scale) * rule.backoff);
    *good_steps = 0;
    return;
  }
  if (++*good_steps < rule.interval) return;
  *good_steps = 0;
  const float grown = static_cast<float>(static_cast<double>(*scale) * rule.growth);
  if (std::isfinite(grown)) *scale = grown;
}

enum class Norm : std::uint8_t { sum, squares, powers, largest };

template <Norm kNorm>
struct Total {
  static __device__ double joined(double a, double b) {
    if (kNorm != Norm::largest) return a + b;
    return b > a || b != b ? b : a;
  }

  double value = 0;
  double p;

  template <class E, int N>
  __device__ void operator()(const Pack<E, N>& pack) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const double x = std::abs(cast<double>(pack.values[j]));
      value = joined(value, kNorm == Norm::squares ? x * x : kNorm == Norm::powers ? std::pow(x, p) : x);
    }
  }
};

/// All values of the block's threads joined in a fixed order; the result is thread 0's.
template <Norm kNorm>
__device__ double join_threads(double value) {
  __shared__ double values[kThreads];
  values[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] = Total<kNorm>::joined(values[threadIdx.x], values[threadIdx.x + half]);
    __syncthreads();
  }
  return values[0];
}

/// `partials` has the total of earlier launches at its beginning, unless this is the first one. The last block to
/// finish joins those of all blocks, and writes `out` if this is the last launch.
template <Norm kNorm>
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const Table table, double p, bool first, double* partials, unsigned* finished, float* out) {
  __shared__ bool is_last;
  const int slot = table.find(static_cast<int>(blockIdx.x));
  const Entry& entry = table.entries[slot];
  const Piece piece(table.piece, static_cast<int>(blockIdx.x) - table.begins[slot], entry.count);
  Total<kNorm> total{0, p};
  visit_floating(entry.dtype, [&](auto zero) { each_pack<decltype(zero)>(entry, piece, false, total); });
  const double joined = join_threads<kNorm>(total.value);
  if (threadIdx.x == 0) {
    partials[1 + blockIdx.x] = joined;
    __threadfence();
    is_last = atomicAdd(finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  double value = 0;
  for (unsigned i = threadIdx.x + (first ? 1u : 0u); i <= gridDim.x; i += blockDim.x)
    value = Total<kNorm>::joined(value, partials[i]);
  value = join_threads<kNorm>(value);
  if (threadIdx.x != 0) return;
  *finished = 0;
  partials[0] = value;
  if (out == nullptr) return;
  if (kNorm == Norm::squares) value = std::sqrt(value);
  if (kNorm == Norm::powers) value = std::pow(value, 1 / p);
  *out = static_cast<float>(value);
}

/// Calls start(table, is first, is last) for tables of all arrays; at least once.
template <class Start>
void each_table(std::span<const Array> arrays, std::int64_t piece, const Start& start) {
  Table table;
  table.piece = piece;
  bool first = true;
  for (const Array& array : arrays) {
    if (table.is_full()) {
      start(table, first, false);
      first = false;
      table.count = 0;
    }
    const void* data = address(array);
    table.add({const_cast<void*>(data), array.numel(), array.dtype(), is_aligned(data)}, array.numel());
  }
  if (table.count == 0) table.add({nullptr, 0, DType::float32, false}, 0);
  start(table, first, true);
}

std::int64_t total_of(std::span<const Array> arrays) {
  std::int64_t total = 0;
  for (const Array& array : arrays) total += array.numel();
  return total;
}

constexpr std::int64_t kUnit = kThreads * 32;  ///< what all threads load at once in a half type

}  // namespace

void CudaBackend::unscale(std::span<const Array> gradients, const Array& scale, const Array& found) {
  if (gradients.empty()) return;
  const std::int64_t piece = piece_for(*this, total_of(gradients), kUnit);
  each_table(gradients, piece, [&](const Table& table, bool, bool) {
    launch(*this, table.blocks(), kThreads, unscale_kernel, table, elements<float>(scale), elements<float>(found));
  });
}

void CudaBackend::update_scale(const ScaleRule& rule, const Array& found, const Array& scale, const Array& good_steps) {
  launch(*this, 1, 1, update_scale_kernel, rule, elements<float>(found), elements<float>(scale),
         elements<std::int32_t>(good_steps));
}

void CudaBackend::norm(std::span<const Array> arrays, double p, const Array& out) {
  const Scratch& memory = scratch();
  // Pieces as large as it takes for the results of all to fit: few for one launch, whatever their number.
  const std::int64_t total = total_of(arrays);
  const std::int64_t piece = std::max<std::int64_t>(1, (total / (16 * multiprocessors()) + kUnit - 1) / kUnit) * kUnit;
  const auto start = [&]<Norm kNorm>(const Table& table, bool first, bool last) {
    launch(*this, table.blocks(), kThreads, norm_kernel<kNorm>, table, p, first,
           reinterpret_cast<double*>(memory.partials), memory.counters, last ? elements<float>(out) : nullptr);
  };
  each_table(arrays, piece, [&](const Table& table, bool first, bool last) {
    if (std::isinf(p))
      start.operator()<Norm::largest>(table, first, last);
    else if (p == 2)
      start.operator()<Norm::squares>(table, first, last);
    else if (p == 1)
      start.operator()<Norm::sum>(table, first, last);
    else
      start.operator()<Norm::powers>(table, first, last);
  });
}

}  // namespace mnemo::cuda
