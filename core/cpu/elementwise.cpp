// unary, unary_gradient, binary, compare: one loop each over the shared functors.
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>

namespace mnemo::cpu {

namespace {

/// Calls `f` with a zero of the type to compute in: float64 if any is, else float for floating operands, else int64.
template <class F>
void with_compute_type(std::initializer_list<DType> dtypes, F&& f) {
  bool wide = false, floating = false;
  for (DType dtype : dtypes) {
    wide = wide || dtype == DType::float64;
    floating = floating || is_floating(dtype);
  }
  if (wide) return f(double{});
  if (floating) return f(float{});
  f(std::int64_t{});
}

}  // namespace

void CpuBackend::unary(UnaryOp op, const Scalars& scalars, const Array& x, const Array& out) {
  mnemo::visit(op, [&](auto functor) {
    const auto run = [&]<class C>(C) {
      elementwise<C, 1>(out, {&x}, [&](const C* const* in, C* y, std::int64_t count) {
        const C* a = in[0];
        for (std::int64_t i = 0; i < count; ++i) y[i] = functor.forward(a[i], scalars);
      });
    };
    x.dtype() == DType::float64 ? run(double{}) : run(float{});
  });
}

void CpuBackend::unary_gradient(UnaryOp op, const Scalars& scalars, const Array& grad, const Array& saved,
                                const Array& out) {
  mnemo::visit(op, [&](auto functor) {
    const auto run = [&]<class C>(C) {
      elementwise<C, 2>(out, {&grad, &saved}, [&](const C* const* in, C* y, std::int64_t count) {
        const C* g = in[0];
        const C* s = in[1];
        for (std::int64_t i = 0; i < count; ++i) y[i] = functor.gradient(g[i], s[i], scalars);
      });
    };
    out.dtype() == DType::float64 ? run(double{}) : run(float{});
  });
}

void CpuBackend::binary(BinaryOp op, const Array& a, const Array& b, const Array& out) {
  mnemo::visit(op, [&](auto functor) {
    with_compute_type({a.dtype(), b.dtype()}, [&]<class C>(C) {
      elementwise<C, 2>(out, {&a, &b}, [&](const C* const* in, C* y, std::int64_t count) {
        const C* left = in[0];
        const C* right = in[1];
        for (std::int64_t i = 0; i < count; ++i) y[i] = functor.forward(left[i], right[i]);
      });
    });
  });
}

void CpuBackend::compare(CompareOp op, const Array& a, const Array& b, const Array& out) {
  mnemo::visit(op, [&](auto functor) {
    with_compute_type({a.dtype(), b.dtype()}, [&]<class C>(C) {
      elementwise<C, 2>(out, {&a, &b}, [&](const C* const* in, C* y, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) y[i] = functor.forward(in[0][i], in[1][i]) ? C{1} : C{0};
      });
    });
  });
}

}  // namespace mnemo::cpu
