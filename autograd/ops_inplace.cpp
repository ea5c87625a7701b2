#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

/// Refuses what would give wrong gradients silently: a leaf (or a view of one) changed while recording.
void check_changeable(const char* op, const Tensor& x) {
  if (!grad_enabled() || !x.defined()) return;
  if ((x.requires_grad() && x.is_leaf()) || x.array().storage()->holds_leaf()) {
    fail<GradError>(op, "a leaf that requires a gradient (or a view of one) cannot be changed in place while operations are recorded; "
                        "do it under no_grad");
  }
}

/// Records what was done to x in place: its handle moves on to a new node (while not recording it keeps the old one).
template <class Closure>
Tensor& rewrite(Tensor& x, std::initializer_list<const Tensor*> inputs, Closure closure) {
  if (grad_enabled()) x = record(inputs, x.array(), std::move(closure));
  else x.rebind(x.array(), x.node());
  return x;
}

/// Only ops whose derivative needs the output are offered in place, so the value that is gone is not missed.
Tensor& unary_in_place(UnaryOp op, const char* op_name, Tensor& x) {
  const Operation operation(op_name);
  check_changeable(op_name, x);
  const Tensor before = x;
  map_into(op, x.array(), x.array());
  return rewrite(x, {&before}, [op, y = save_if(needs_grad(before), x.array())](Backward& back) {
    back.give(0, map_gradient(op, back.take_grad(), y.get()));
  });
}

/// x + sign * y
Tensor& add_in_place(BinaryOp op, const char* op_name, Tensor& x, const Tensor& y) {
  const Operation operation(op_name);
  check_changeable(op_name, x);
  const Tensor before = x;
  map_into(op, x.array(), y.array(), x.array());
  return rewrite(x, {&before, &y}, [op, shape = y.shape(), dtype = y.dtype()](Backward& back) {
    if (back.needs(1)) {
      const Array dy = sum_to(back.grad(), shape).to(dtype);
      back.give(1, op == BinaryOp::add ? dy : map(UnaryOp::neg, dy));
    }
    if (back.needs(0)) back.give(0, back.take_grad());
  });
}

Tensor& affine_in_place(const char* op_name, Tensor& x, const Scalars& scalars) {
  const Operation operation(op_name);
  check_changeable(op_name, x);
  const Tensor before = x;
  map_into(UnaryOp::affine, x.array(), x.array(), scalars);
  return rewrite(x, {&before}, [scalars](Backward& back) {
    const Array grad = back.take_grad();
    back.give(0, map_gradient(UnaryOp::affine, grad, grad, scalars));
  });
}

}  // namespace

Tensor& relu_(Tensor& x) { return unary_in_place(UnaryOp::relu, "relu_", x); }
Tensor& sigmoid_(Tensor& x) { return unary_in_place(UnaryOp::sigmoid, "sigmoid_", x); }
Tensor& tanh_(Tensor& x) { return unary_in_place(UnaryOp::tanh, "tanh_", x); }
Tensor& add_(Tensor& x, const Tensor& y) { return add_in_place(BinaryOp::add, "add_", x, y); }
Tensor& sub_(Tensor& x, const Tensor& y) { return add_in_place(BinaryOp::subtract, "sub_", x, y); }
Tensor& add_(Tensor& x, double y) { return affine_in_place("add_", x, {1, y}); }
Tensor& mul_(Tensor& x, double y) { return affine_in_place("mul_", x, {y, 0}); }

Tensor& mul_(Tensor& x, const Tensor& y) {
  const Operation operation("mul_");
  check_changeable("mul_", x);
  const Tensor before = x;
  Saved old;  // y's gradient needs the value that is about to go
  if (needs_grad(y)) {
    Array copy = Array::like(x.array());
    copy_into(x.array(), copy);
    old = Saved(std::move(copy));
  }
  map_into(BinaryOp::multiply, x.array(), y.array(), x.array());
  Saved factor = save_if(needs_grad(before), y.array());
  return rewrite(x, {&before, &y}, [old = std::move(old), factor = std::move(factor), shape = y.shape(), dtype = y.dtype()](Backward& back) {
    if (back.needs(1)) back.give(1, sum_to(map(BinaryOp::multiply, back.grad(), old.get()), shape).to(dtype));
    if (back.needs(0)) back.give(0, map(BinaryOp::multiply, back.grad(), factor.get()));
  });
}

Tensor& fill_(Tensor& x, double value) {
  const Operation operation("fill_");
  check_changeable("fill_", x);
  const Tensor before = x;
  fill(x.array(), value);
  return rewrite(x, {&before}, [](Backward& back) { back.give(0, full(back.grad().shape(), 0, back.grad().dtype(), back.grad().device())); });
}

Tensor& copy_(Tensor& x, const Tensor& from) {
  const Operation operation("copy_");
  check_changeable("copy_", x);
  const Tensor before = x;
  copy_into(from.array(), x.array());
  return rewrite(x, {&before, &from}, [shape = from.shape(), dtype = from.dtype()](Backward& back) {
    const Array& g = back.grad();
    if (back.needs(0)) back.give(0, full(g.shape(), 0, g.dtype(), g.device()));
    if (back.needs(1)) back.give(1, sum_to(g, shape).to(dtype));
  });
}

}  // namespace mnemo
