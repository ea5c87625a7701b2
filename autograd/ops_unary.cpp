// Element by element: the arithmetic and its derivative stand in core/functors.h.
#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_unary.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
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
Tensor gelu_tanh(const Tensor& x) { return unary(UnaryOp::gelu_tanh, x); }
Tensor silu(const Tensor& x) { return unary(UnaryOp::silu, x); }
Tensor hardswish(const Tensor& x) { return unary(UnaryOp::hardswish, x); }
Tensor mish(const Tensor& x) { return unary(UnaryOp::mish, x); }
Tensor clamp(const Tensor& x, double low, double high) { return unary(UnaryOp::clamp, x, {low, high}); }
Tensor sign(const Tensor& x) { return unary(UnaryOp::sign, x); }

Tensor elu(const Tensor& x, double alpha) {
  if (!(alpha >= 0)) fail<ShapeError>("elu", fmt::format("alpha {} must not be negative", alpha));
  return unary(UnaryOp::elu, x, {alpha, 0});
}

Tensor softplus(const Tensor& x, double beta) {
  if (!(beta > 0)) fail<ShapeError>("softplus", fmt::format("beta {} must be more than 0", beta));
  return unary(UnaryOp::softplus, x, {beta, 0});
}

}  // namespace mnemo
