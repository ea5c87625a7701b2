// Element by element: the arithmetic and its derivative stand in core/functors.h.
#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_unary.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

Tensor unary(UnaryOp op, const Tensor& x, const Scalars& scalars) {
  if (const OperandCast cast(name(op), {&x}); cast) return unary(op, cast(x), scalars);
  const Operation operation(name(op));
  Array y = map(op, x.array(), scalars);
  const bool keep = needs_grad(x) && saves(op) != Saves::nothing;
  Saved saved = save_if(keep, saves(op) == Saves::input ? x.array() : y);
  return record({&x}, std::move(y), [op, scalars, saved = std::move(saved)](Backward& back) {
    back.give(0, map_gradient(op, back.take_grad(), saved.get(), scalars));
  });
}

Tensor pow(const Tensor& x, double exponent) { return unary(UnaryOp::power, x, {exponent, 0}); }
Tensor abs(const Tensor& x) { return unary(UnaryOp::abs, x); }
Tensor exp(const Tensor& x) { return unary(UnaryOp::exp, x); }
Tensor log(const Tensor& x) { return unary(UnaryOp::log, x); }
Tensor sqrt(const Tensor& x) { return unary(UnaryOp::sqrt, x); }
Tensor sin(const Tensor& x) { return unary(UnaryOp::sin, x); }
Tensor cos(const Tensor& x) { return unary(UnaryOp::cos, x); }
Tensor relu(const Tensor& x) { return unary(UnaryOp::relu, x); }
Tensor leaky_relu(const Tensor& x, double slope) { return unary(UnaryOp::leaky_relu, x, {slope, 0}); }
Tensor sigmoid(const Tensor& x) { return unary(UnaryOp::sigmoid, x); }
Tensor tanh(const Tensor& x) { return unary(UnaryOp::tanh, x); }
Tensor gelu(const Tensor& x) { return unary(UnaryOp::gelu, x); }
Tensor silu(const Tensor& x) { return unary(UnaryOp::silu, x); }
Tensor clamp(const Tensor& x, double low, double high) { return unary(UnaryOp::clamp, x, {low, high}); }

}  // namespace mnemo
