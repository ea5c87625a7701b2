// row_norm: each row of an array by itself, then a weight and a bias for each channel.
#include <utility>

#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// Numbers of channels as a backend takes them: in x's dtype, or where any of them has another in the dtype that x is
/// computed in.
void unify(const Array& x, std::initializer_list<Array*> numbers) {
  bool same = true;
  for (const Array* array : numbers) same = same && (!array->defined() || array->dtype() == x.dtype());
  const DType dtype = same ? x.dtype() : compute_dtype(x.dtype());
  for (Array* array : numbers) {
    if (array->defined()) *array = array->to(dtype).contiguous();
  }
}

}  // namespace

void row_norm(RowNormCall& call) {
  call.x = call.x.contiguous();
  unify(call.x, {&call.weight, &call.bias});
  call.y = Array::like(call.x);
  const auto of_rows = [&] { return Array(Shape{call.sizes.rows}, compute_dtype(call.x.dtype()), call.x.device()); };
  if (call.centered) call.mean = of_rows();
  call.inverse_deviation = of_rows();
  count_operations(call.x.numel());
  call.x.device().backend().row_norm(call);
}

void row_norm_gradient(RowNormGradientCall& call, bool wants_dx) {
  call.grad = call.grad.contiguous();
  if (call.x.defined()) call.x = call.x.contiguous();
  unify(call.grad, {&call.weight});
  if (wants_dx) call.dx = call.grad.storage().is_unique() ? call.grad : Array::like(call.grad);
  count_operations(call.grad.numel());
  call.grad.device().backend().row_norm_gradient(call);
}

}  // namespace mnemo
