// gather and scatter_add: elements by number along an axis; and the first number that is out of range.
#include <mnemo/core/visit_bytes.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

/// (outer, size, inner) around an axis, in the array that is indexed and in the index.
struct AxisSizes {
  std::int64_t outer = 1, inner = 1;
  std::int64_t size = 1;     ///< of the array that is indexed
  std::int64_t indices = 1;  ///< of the index
  bool of_rows;              ///< the index has a number for each place along its axis, for all elements there

  AxisSizes(const Shape& shape, const Array& index, int axis)
      : size(shape[axis]), indices(index.size(axis)), of_rows(!index.is_contiguous()) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
  /// From a number of the index to the next one along the axis.
  __device__ std::int64_t step() const { return of_rows ? 1 : inner; }
};

/// a / b for a >= 0, b > 0; 32-bit division is several times as fast.
__device__ inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (a <= INT32_MAX && b <= INT32_MAX) return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
  return a / b;
}

/// T: an unsigned integer of the elements' size. Each thread has several under way.
template <class T>
__global__ void gather_elements(AxisSizes sizes, std::int64_t count, const T* x, const std::int64_t* index, T* out) {
  constexpr int kUnroll = 4;
  for (std::int64_t first = first_item(); first < count; first += kUnroll * item_step()) {
    std::int64_t from[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::int64_t at = first + u * item_step();
      if (at >= count) continue;
      const std::int64_t row = quotient(at, sizes.inner);
      const std::int64_t i = quotient(row, sizes.indices);
      const std::int64_t place = index[sizes.of_rows ? row - i * sizes.indices : at];
      from[u] = (i * sizes.size + place) * sizes.inner + (at - row * sizes.inner);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::int64_t at = first + u * item_step();
      if (at < count) out[at] = x[from[u]];
    }
  }
}

/// Integers wrap around; booleans are or-ed.
template <class T>
__device__ T sum_of(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  } else {
    return cast<T>(static_cast<compute_type<T>>(cast<compute_type<T>>(a) + cast<compute_type<T>>(b)));
  }
}

/// The targets [begin, end) of share `i` of `shares`.
struct Targets {
  std::int64_t begin, end;

  __device__ Targets(std::int64_t size, std::int64_t i, std::int64_t shares) {
    const std::int64_t each = (size + shares - 1) / shares;
    begin = i * each < size ? i * each : size;
    end = begin + each < size ? begin + each : size;
  }
  __device__ bool has(std::int64_t target) const { return target >= begin && target < end; }
};

/// A thread owns a share of the targets in one column (i, k) and goes through the column's indices in order.
/// Neighbouring threads have neighbouring columns.
template <class T>
__global__ void scatter_columns(AxisSizes sizes, std::int64_t shares, const T* x, const std::int64_t* index, T* out) {
  constexpr int kUnroll = 8;
  const std::int64_t columns = sizes.outer * sizes.inner;
  for (std::int64_t item = first_item(); item < columns * shares; item += item_step()) {
    const std::int64_t share = item / columns, column = item % columns;
    const std::int64_t i = column / sizes.inner, k = column % sizes.inner;
    const Targets own(sizes.size, share, shares);
    const std::int64_t* const places = index + (sizes.of_rows ? 0 : i * sizes.indices * sizes.inner + k);
    const T* const values = x + i * sizes.indices * sizes.inner + k;
    T* const sums = out + i * sizes.size * sizes.inner + k;
    for (std::int64_t j = 0; j < sizes.indices; j += kUnroll) {
      std::int64_t targets[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) targets[u] = j + u < sizes.indices ? places[(j + u) * sizes.step()] : -1;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (!own.has(targets[u])) continue;
        T& sum = sums[targets[u] * sizes.inner];
        sum = sum_of(sum, values[(j + u) * sizes.inner]);
      }
    }
  }
}

/// A block owns a share of the targets in one column. Of the column's indices it collects those that fall there, in
/// order, until they are as many as threads; then the first thread of each target adds up what the others have for it.
template <class T>
__global__ void __launch_bounds__(kThreads)
    scatter_queued(AxisSizes sizes, std::int64_t shares, const T* x, const std::int64_t* index, T* out) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ std::int64_t queue[2 * kThreads];  // places along the axis of the index
  __shared__ std::int64_t targets[kThreads];
  __shared__ T values[kThreads];
  __shared__ int found[kWarps];
  const int self = static_cast<int>(threadIdx.x), lane = self % kWarp, warp = self / kWarp;
  const std::int64_t columns = sizes.outer * sizes.inner;
  for (std::int64_t item = blockIdx.x; item < columns * shares; item += gridDim.x) {
    const std::int64_t column = item % columns;
    const std::int64_t i = column / sizes.inner, k = column % sizes.inner;
    const Targets own(sizes.size, item / columns, shares);
    const std::int64_t* const places = index + (sizes.of_rows ? 0 : i * sizes.indices * sizes.inner + k);
    const T* const from = x + i * sizes.indices * sizes.inner + k;
    T* const sums = out + i * sizes.size * sizes.inner + k;
    int queued = 0;  // the same in all threads
    const auto add_queued = [&](int count) {
      if (self < count) {
        targets[self] = places[queue[self] * sizes.step()];
        values[self] = from[queue[self] * sizes.inner];
      }
      __syncthreads();
      if (self < count) {
        const std::int64_t target = targets[self];
        bool first = true;
        for (int other = 0; other < self && first; ++other) first = targets[other] != target;
        if (first) {
          T sum = sums[target * sizes.inner];
          for (int other = self; other < count; ++other) {
            if (targets[other] == target) sum = sum_of(sum, values[other]);
          }
          sums[target * sizes.inner] = sum;
        }
      }
      // What is left moves to the front.
      const std::int64_t rest = kThreads + self < queued ? queue[kThreads + self] : 0;
      __syncthreads();
      queue[self] = rest;
      __syncthreads();
    };
    for (std::int64_t base = 0; base < sizes.indices; base += kThreads) {
      const std::int64_t j = base + self;
      const bool mine = j < sizes.indices && own.has(places[j * sizes.step()]);
      const unsigned lanes = __ballot_sync(kAllLanes, mine);
      if (lane == 0) found[warp] = __popc(lanes);
      __syncthreads();
      int before = queued, all = 0;
      for (int w = 0; w < kWarps; ++w) {
        if (w < warp) before += found[w];
        all += found[w];
      }
      if (mine) queue[before + __popc(lanes & ((1U << lane) - 1U))] = j;
      queued += all;
      __syncthreads();
      if (queued >= kThreads) {
        add_queued(kThreads);
        queued -= kThreads;
      }
    }
    add_queued(queued);
  }
}

/// An index as it is found by many blocks: the place with all bits turned, so that the first is the largest and 0 is
/// none.
__global__ void find_bad_index(std::int64_t count, const std::int64_t* indices, std::int64_t limit, std::int64_t ignore,
                               unsigned long long* turned, unsigned* counter, std::int64_t* result) {
  constexpr int kUnroll = 4;
  std::int64_t bad = -1;
  for (std::int64_t first = first_item(); first < count && bad < 0; first += kUnroll * item_step()) {
    std::int64_t values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::int64_t at = first + u * item_step();
      values[u] = at < count ? indices[at] : ignore;
    }
#pragma unroll
    for (int u = kUnroll - 1; u >= 0; --u) {
      if ((values[u] < 0 || values[u] >= limit) && values[u] != ignore) bad = first + u * item_step();
    }
  }
  if (bad >= 0) atomicMax(turned, ~static_cast<unsigned long long>(bad));
  if (!is_last_block(counter, gridDim.x)) return;
  if (threadIdx.x == 0) {
    const unsigned long long best = atomicExch(turned, 0ULL);
    result[0] = best == 0 ? 0 : 1;
    result[1] = best == 0 ? 0 : indices[~best];
  }
}

}  // namespace

void CudaBackend::gather(const Array& x, int axis, const Array& index, const Array& out) {
  const std::int64_t count = out.numel();
  if (count == 0) return;
  const AxisSizes sizes(x.shape(), index, axis);
  visit_bytes(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(*this, blocks_for(*this, count), kThreads, gather_elements<T>, sizes, count, elements<T>(x),
           elements<std::int64_t>(index), elements<T>(out));
  });
}

void CudaBackend::scatter_add(const Array& x, int axis, const Array& index, const Array& out) {
  if (x.numel() == 0) return;
  const AxisSizes sizes(out.shape(), index, axis);
  const std::int64_t columns = sizes.outer * sizes.inner;
  visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* const values = elements<T>(x);
    const auto* const places = elements<std::int64_t>(index);
    T* const sums = elements<T>(out);
    // A share has all indices of its column to read: no more shares than keep the device busy.
    const std::int64_t threads = std::int64_t{2048} * multiprocessors();
    if (sizes.inner >= kWarp || columns >= threads / 4) {
      const std::int64_t shares =
          std::clamp<std::int64_t>(threads / columns, 1, std::min<std::int64_t>(32, sizes.size));
      launch(*this, blocks_for(*this, columns * shares), kThreads, scatter_columns<T>, sizes, shares, values, places,
             sums);
    } else {
      const std::int64_t blocks = threads / kThreads;
      const std::int64_t shares = std::clamp<std::int64_t>(blocks / columns, 1, sizes.size);
      launch(*this, static_cast<unsigned>(std::min(columns * shares, 8 * blocks)), kThreads, scatter_queued<T>, sizes,
             shares, values, places, sums);
    }
  });
}

std::optional<std::int64_t> CudaBackend::first_bad_index(const Array& indices, std::int64_t limit,
                                                         std::int64_t ignore) {
  const std::int64_t count = indices.numel();
  if (count == 0 || is_capturing()) return std::nullopt;  // a step that is recorded is not waited for
  const std::optional<IntegerRange> known = indices.storage()->integers();
  if (known && known->least >= 0 && known->greatest < limit) return std::nullopt;  // nor what cannot be wrong
  const Scratch& own = scratch();
  auto* const result = reinterpret_cast<std::int64_t*>(own.partials);
  launch(*this, blocks_for(*this, count, kThreads, 1), kThreads, find_bad_index, count, elements<std::int64_t>(indices),
         limit, ignore, reinterpret_cast<unsigned long long*>(own.counters), own.counters + 2, result);
  std::int64_t found[2] = {};  // whether there is one, and which
  const cudaStream_t queue = stream();
  check(cudaMemcpyAsync(found, result, sizeof(found), cudaMemcpyDeviceToHost, queue), "copying to the host");
  check(cudaStreamSynchronize(queue), "waiting for the indices to be checked");
  if (found[0] == 0) return std::nullopt;
  return found[1];
}

}  // namespace mnemo::cuda
