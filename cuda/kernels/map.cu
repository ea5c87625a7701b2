// unary, unary_gradient: packs of 16 bytes where all arrays lie alike, and one general loop for the rest.
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

/// Packs that a thread has on the way at once, of one operand or of two.
template <bool TWO>
inline constexpr int kPacks = TWO ? 2 : 4;

/// The functors as what a kernel computes: value(a, b); a forward pass ignores b.
template <class Functor>
struct Forward {
  Scalars scalars;
  template <class C>
  __device__ C operator()(C x, C) const {
    return Functor::forward(x, scalars);
  }
};
template <class Functor>
struct Gradient {
  Scalars scalars;
  template <class C>
  __device__ C operator()(C grad, C saved) const {
    return Functor::gradient(grad, saved, scalars);
  }
};

/// out_i = value(a_i, b_i), all without gaps and aligned. TWO: b is read. a_step 0: a is one element. `out` may be a or
/// b.
template <bool TWO, class T, class Value>
__global__ void __launch_bounds__(kThreads)
    map_flat(Value value, const T* a, int a_step, const T* b, T* out, std::int64_t count) {
  using C = compute_type<T>;
  constexpr int N = kPerVector<T>, kAtOnce = kPacks<TWO>;
  const std::int64_t packs = count / N, step = item_step();
  const bool repeats = TWO && a_step == 0;  // a forward pass has no code for it
  const C repeated = repeats ? cast<C>(a[0]) : C{0};
  for (std::int64_t first = first_item(); first < packs; first += kAtOnce * step) {
    Raw<T, N> left[kAtOnce], right[kAtOnce];
    MNEMO_UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t pack = first + k * step;
      if (pack < packs) {
        if (!repeats) left[k] = load_raw<N>(a + pack * N);
        if (TWO) right[k] = load_raw<N>(b + pack * N);
      }
    }
    MNEMO_UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t pack = first + k * step;
      if (pack < packs) {
        Pack<T, N> results = unpacked<T, N>(left[k]);
        const Pack<T, N> others = unpacked<T, N>(right[k]);
        MNEMO_UNROLL
        for (int i = 0; i < N; ++i) {
          const C x = repeats ? repeated : cast<C>(results.values[i]);
          results.values[i] = cast<T>(value(x, TWO ? cast<C>(others.values[i]) : x));
        }
        store(results, out + pack * N);
        left[k] = raw(results);  // nothing of what was read lives on: fewer registers
      }
    }
  }
  for (std::int64_t i = packs * N + first_item(); i < count; i += step) {
    const C x = repeats ? repeated : cast<C>(a[i]);
    out[i] = cast<T>(value(x, TWO ? cast<C>(b[i]) : x));
  }
}

/// Elements of any floating-point dtype.
struct Elements {
  void* first;
  DType dtype;

  explicit Elements(const Array& array) : first(first_byte(array)), dtype(array.dtype()) {}
  template <class C>
  __device__ C get(std::int64_t at) const {
    switch (dtype) {
      case DType::float64:
        return cast<C>(static_cast<const double*>(first)[at]);
      case DType::float16:
        return cast<C>(static_cast<const float16*>(first)[at]);
      case DType::bfloat16:
        return cast<C>(static_cast<const bfloat16*>(first)[at]);
      default:
        return cast<C>(static_cast<const float*>(first)[at]);
    }
  }
  template <class C>
  __device__ void set(std::int64_t at, C value) const {
    switch (dtype) {
      case DType::float64:
        static_cast<double*>(first)[at] = cast<double>(value);
        return;
      case DType::float16:
        static_cast<float16*>(first)[at] = cast<float16>(value);
        return;
      case DType::bfloat16:
        static_cast<bfloat16*>(first)[at] = cast<bfloat16>(value);
        return;
      default:
        static_cast<float*>(first)[at] = cast<float>(value);
    }
  }
};

#define MNEMO_VALUE_CASE(name, functor) \
  case UnaryOp::name:                   \
    return gradient ? functors::functor::gradient(a, b, scalars) : functors::functor::forward(a, scalars);

/// Any operation: the branches are the same for all threads.
template <class C>
__device__ C value_of(UnaryOp op, bool gradient, const Scalars& scalars, C a, C b) {
  switch (op) { MNEMO_UNARY_OPS(MNEMO_VALUE_CASE) }
  return C{0};
}

/// The same for arrays of any strides and floating-point dtypes, computed in C. index: out, a, b.
template <class C>
__global__ void __launch_bounds__(kThreads)
    map_any(UnaryOp op, bool gradient, Scalars scalars, Index<3> index, Elements a, Elements b, Elements out) {
  for (std::int64_t i = first_item(); i < index.count; i += item_step()) {
    std::int64_t at[3];
    index.offsets(i, at);
    const C x = a.get<C>(at[1]);
    out.set(at[0], value_of(op, gradient, scalars, x, gradient ? b.get<C>(at[2]) : x));
  }
}

template <bool TWO, class T, class Value>
void run_flat(const CudaBackend& backend, const Value& value, const Array& a, int a_step, const Array& b,
              const Array& out) {
  // Few packs are shared out to as many multiprocessors as there are before any thread gets several.
  const std::int64_t packs = out.numel() / kPerVector<T> + 1, spread = std::int64_t{1024} * backend.multiprocessors();
  const std::int64_t items = std::max(packs / kPacks<TWO>, std::min(packs, spread));
  launch(backend, blocks_for(backend, items), kThreads, map_flat<TWO, T, Value>, value, elements<T>(a), a_step,
         elements<T>(b), elements<T>(out), out.numel());
}

/// Calls f with a zero where T is a type for which every operation has a kernel of its own.
template <class F>
void visit_narrow(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    default:
      return f(float{});
  }
}

void run(const CudaBackend& backend, UnaryOp op, bool gradient, const Scalars& scalars, const Array& a, const Array& b,
         const Array& out) {
  if (out.numel() == 0) return;
  const Index<3> index({&out, &a, &b});
  // a may be one element that is repeated: the gradient of a sum.
  const bool repeated = gradient && index.rank == 1 && index.strides[0][1] == 0;
  const bool flat = index.is_flat() || (repeated && index.strides[0][0] == 1 && index.strides[0][2] == 1);
  const bool same = a.dtype() == out.dtype() && b.dtype() == out.dtype() && out.dtype() != DType::float64;
  if (flat && same && is_aligned(out) && is_aligned(b) && (repeated || is_aligned(a))) {
    return visit_narrow(out.dtype(), [&](auto zero) {
      using T = decltype(zero);
      mnemo::visit(op, [&](auto functor) {
        using Functor = decltype(functor);
        if (gradient)
          run_flat<true, T>(backend, Gradient<Functor>{scalars}, a, repeated ? 0 : 1, b, out);
        else
          run_flat<false, T>(backend, Forward<Functor>{scalars}, a, 1, b, out);
      });
    });
  }
  const bool wide = (gradient ? out : a).dtype() == DType::float64;
  launch(backend, blocks_for(backend, index.count), kThreads, wide ? map_any<double> : map_any<float>, op, gradient,
         scalars, index, Elements(a), Elements(b), Elements(out));
}

}  // namespace

void CudaBackend::unary(UnaryOp op, const Scalars& scalars, const Array& x, const Array& out) {
  run(*this, op, false, scalars, x, x, out);
}

void CudaBackend::unary_gradient(UnaryOp op, const Scalars& scalars, const Array& grad, const Array& saved,
                                 const Array& out) {
  run(*this, op, true, scalars, grad, saved, out);
}

}  // namespace mnemo::cuda
