// choose: bytes, of elements of whichever dtype. Each thread has several under way.
#include <mnemo/core/visit_bytes.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kUnroll = 4;

/// index: out, condition, a, b. T: an unsigned integer of the elements' size.
template <class T>
__global__ void __launch_bounds__(kThreads)
    choose_elements(Index<4> index, const bool* condition, const T* a, const T* b, T* out) {
  const std::int64_t step = item_step();
  for (std::int64_t first = first_item(); first < index.count; first += kUnroll * step) {
    std::int64_t to[kUnroll];
    T chosen[kUnroll];
    MNEMO_UNROLL
    for (int k = 0; k < kUnroll; ++k) {
      // Behind the last element its own first one once more: another thread's may be written in place meanwhile.
      const std::int64_t item = first + k * step;
      std::int64_t at[4];
      index.offsets(item < index.count ? item : first, at);
      to[k] = at[0];
      const T left = a[at[2]], right = b[at[3]];
      chosen[k] = condition[at[1]] ? left : right;
    }
    MNEMO_UNROLL
    for (int k = 0; k < kUnroll; ++k) {
      if (first + k * step < index.count) out[to[k]] = chosen[k];
    }
  }
}

}  // namespace

void CudaBackend::choose(const Array& condition, const Array& a, const Array& b, const Array& out) {
  visit_bytes(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Index<4> index({&out, &condition, &a, &b});
    launch(*this, blocks_for(*this, (index.count + kUnroll - 1) / kUnroll), kThreads, choose_elements<T>, index,
           elements<bool>(condition), elements<T>(a), elements<T>(b), elements<T>(out));
  });
}

}  // namespace mnemo::cuda
