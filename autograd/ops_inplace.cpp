#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

/// Refuses what would give wrong gradients silently: a leaf (or a view of one) changed while recording, or a handle
/// that is out of date. Returns the nodes of the inputs, x first, as they are before the change.
NodeList prepare(const char* op, std::initializer_list<const Tensor*> inputs) {
  for (const Tensor* input : inputs) check_defined(op, input->array());
  if (!grad_enabled()) return {};
  const Tensor& x = **inputs.begin();
  if ((x.requires_grad() && x.is_leaf()) || x.array().storage()->holds_leaf()) {
    fail<GradError>(
        op,
        fmt::format("{} is a leaf that requires a gradient (or a view of one), which cannot be changed in place while "
                    "operations are recorded; do it under no_grad",
                    x.shape().text()));
  }
  return recorded_inputs(inputs);
}

/// Records what was done to x in place: its handle moves on to a new node (while not recording it keeps the old one).
template <class Closure>
Tensor& rewrite(Tensor& x, NodeList nodes, Closure closure) {
  if (nodes.empty())
    x.rebind(x.array(), x.node());
  else
    x = attach(std::make_shared<OpNode<Closure>>(std::move(closure)), std::move(nodes), Array(x.array()));
  return x;
}

/// Only ops whose derivative needs the output are offered in place, so the value that is gone is not missed.
Tensor& unary_in_place(UnaryOp op, const char* op_name, Tensor& x) {
  const Operation operation(op_name);
  NodeList nodes = prepare(op_name, {&x});
  map_into(op, x.array(), x.array());
  return rewrite(x, std::move(nodes), [op, y = save_if(needs_grad(x), x.array())](Backward& back) {
    back.give(0, map_gradient(op, back.take_grad(), y.get()));
  });
}

}  // namespace

Tensor relu_bits(const Tensor& x) {
  const Operation operation("relu_bits");
  Array y = map(UnaryOp::relu, x.array());
  Saved bits = needs_grad(x) && y.numel() > 0 ? Saved(sign_bits(y)) : Saved();
  return record({&x}, y, [layout = y.layout(), bits = std::move(bits)](Backward& back) {
    back.give(0, bits.defined() ? keep_bits(back.take_grad(), bits.get(), layout) : back.take_grad());
  });
}

Tensor& relu_bits_(Tensor& x) {
  const Operation operation("relu_bits_");
  NodeList nodes = prepare("relu_bits_", {&x});
  const Array& y = x.array();
  const bool wanted = needs_grad(x) && y.numel() > 0;
  const Array dense = y.layout().is_dense() ? y : y.contiguous();
  Array bits;
  if (wanted) bits = sign_bits(dense);
  map_into(UnaryOp::relu, y, y);
  return rewrite(x, std::move(nodes), [layout = dense.layout(), bits = save_if(wanted, bits)](Backward& back) {
    back.give(0, bits.defined() ? keep_bits(back.take_grad(), bits.get(), layout) : back.take_grad());
  });
}

namespace {

/// x + sign * y
Tensor& add_in_place(BinaryOp op, const char* op_name, Tensor& x, const Tensor& y) {
  const Operation operation(op_name);
  NodeList nodes = prepare(op_name, {&x, &y});
  map_into(op, x.array(), y.array(), x.array());
  return rewrite(x, std::move(nodes), [op, shape = y.shape(), dtype = y.dtype()](Backward& back) {
    if (back.needs(1)) {
      const Array dy = sum_to(back.grad(), shape).to(dtype);
      back.give(1, op == BinaryOp::add ? dy : map(UnaryOp::neg, dy));
    }
    if (back.needs(0)) back.give(0, back.take_grad());
  });
}

/// `op` of x and a number, which for floating-point x is affine.
Tensor& number_in_place(BinaryOp op, const char* op_name, Tensor& x, Number number, const Scalars& scalars) {
  const Operation operation(op_name);
  NodeList nodes = prepare(op_name, {&x});
  if (!is_floating(x.dtype())) {
    map_into(op, x.array(), number.beside(x).array(), x.array());
    x.rebind(x.array(), x.node());
    return x;
  }
  map_into(UnaryOp::affine, x.array(), x.array(), scalars);
  return rewrite(x, std::move(nodes), [scalars](Backward& back) {
    back.give(0, map_gradient(UnaryOp::affine, back.take_grad(), {}, scalars));
  });
}

Array copy_of(const Array& x) {
  Array copy = Array::like(x);
  copy_into(x, copy);
  return copy;
}

}  // namespace

Tensor& relu_(Tensor& x) { return unary_in_place(UnaryOp::relu, "relu_", x); }
Tensor& sigmoid_(Tensor& x) { return unary_in_place(UnaryOp::sigmoid, "sigmoid_", x); }
Tensor& tanh_(Tensor& x) { return unary_in_place(UnaryOp::tanh, "tanh_", x); }
Tensor& add_(Tensor& x, const Tensor& y) { return add_in_place(BinaryOp::add, "add_", x, y); }
Tensor& sub_(Tensor& x, const Tensor& y) { return add_in_place(BinaryOp::subtract, "sub_", x, y); }
Tensor& add_(Tensor& x, Number y) { return number_in_place(BinaryOp::add, "add_", x, y, {1, y.value()}); }
Tensor& mul_(Tensor& x, Number y) { return number_in_place(BinaryOp::multiply, "mul_", x, y, {y.value(), 0}); }

Tensor& mul_(Tensor& x, const Tensor& y) {
  const Operation operation("mul_");
  NodeList nodes = prepare("mul_", {&x, &y});
  // What is about to go: y's gradient needs x, and x's needs y, which may be x itself.
  Saved old, factor;
  if (needs_grad(y)) old = Saved(copy_of(x.array()));
  if (needs_grad(x)) factor = Saved(y.array().storage() == x.array().storage() ? copy_of(y.array()) : y.array());
  map_into(BinaryOp::multiply, x.array(), y.array(), x.array());
  return rewrite(
      x, std::move(nodes),
      [old = std::move(old), factor = std::move(factor), shape = y.shape(), dtype = y.dtype()](Backward& back) {
        if (back.needs(1)) back.give(1, sum_to(map(BinaryOp::multiply, back.grad(), old.get()), shape).to(dtype));
        if (back.needs(0)) back.give(0, map(BinaryOp::multiply, back.grad(), factor.get()).to(back.grad().dtype()));
      });
}

Tensor& fill_(Tensor& x, double value) {
  const Operation operation("fill_");
  NodeList nodes = prepare("fill_", {&x});
  fill(x.array(), value);
  return rewrite(x, std::move(nodes), [](Backward& back) {
    back.give(0, full(back.grad().shape(), 0, back.grad().dtype(), back.grad().device()));
  });
}

Tensor& copy_(Tensor& x, const Tensor& from) {
  const Operation operation("copy_");
  NodeList nodes = prepare("copy_", {&x, &from});
  copy_into(from.array(), x.array());
  return rewrite(x, std::move(nodes), [shape = from.shape(), dtype = from.dtype()](Backward& back) {
    const Array& g = back.grad();
    if (back.needs(0)) back.give(0, full(g.shape(), 0, g.dtype(), g.device()));
    if (back.needs(1)) back.give(1, sum_to(g, shape).to(dtype));
  });
}

}  // namespace mnemo
