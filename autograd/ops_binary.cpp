#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/origin.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

Array negated(const Array& x) { return map(UnaryOp::neg, x); }

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) {
  const Operation operation("add");
  return record({&a, &b}, map(BinaryOp::add, a.array(), b.array()),
                [to_a = Origin(a, b.shape()), to_b = Origin(b, a.shape())](Backward& back) {
                  if (back.needs(0)) back.give(0, to_a(back.grad()));
                  if (back.needs(1)) back.give(1, to_b(back.grad()));
                });
}

Tensor operator-(const Tensor& a, const Tensor& b) {
  const Operation operation("subtract");
  return record({&a, &b}, map(BinaryOp::subtract, a.array(), b.array()),
                [to_a = Origin(a, b.shape()), to_b = Origin(b, a.shape())](Backward& back) {
                  if (back.needs(0)) back.give(0, to_a(back.grad()));
                  if (back.needs(1)) back.give(1, to_b(negated(back.grad())));
                });
}

Tensor operator*(const Tensor& a, const Tensor& b) {
  const Operation operation("multiply");
  Array y = map(BinaryOp::multiply, a.array(), b.array());
  return record({&a, &b}, std::move(y),
                [to_a = Origin(a, b.shape()), to_b = Origin(b, a.shape()), a = save_if(needs_grad(b), a.array()),
                 b = save_if(needs_grad(a), b.array())](Backward& back) {
                  if (back.needs(0)) back.give(0, to_a(map(BinaryOp::multiply, back.grad(), b.get())));
                  if (back.needs(1)) back.give(1, to_b(map(BinaryOp::multiply, back.grad(), a.get())));
                });
}

Tensor operator/(const Tensor& a, const Tensor& b) {
  const Operation operation("divide");
  Array y = map(BinaryOp::divide, a.array(), b.array());
  return record({&a, &b}, std::move(y),
                [to_a = Origin(a, b.shape()), to_b = Origin(b, a.shape()), a = save_if(needs_grad(b), a.array()),
                 b = save_if(needs_grad(a) || needs_grad(b), b.array())](Backward& back) {
                  const Array da = map(BinaryOp::divide, back.grad(), b.get());
                  if (back.needs(0)) back.give(0, to_a(da));
                  if (!back.needs(1)) return;
                  const Array quotient = map(BinaryOp::divide, a.get(), b.get());
                  back.give(1, to_b(negated(map(BinaryOp::multiply, da, quotient))));
                });
}

namespace {

/// maximum and minimum: the gradient goes to the one taken, half to each of two equal ones.
Tensor select(BinaryOp op, const Tensor& a, const Tensor& b) {
  const Operation operation(name(op));
  const bool keep = needs_grad(a) || needs_grad(b);
  Array y = map(op, a.array(), b.array());
  return record(
      {&a, &b}, std::move(y),
      [op, to_a = Origin(a, b.shape()), to_b = Origin(b, a.shape()), a = save_if(keep, a.array()),
       b = save_if(keep, b.array())](Backward& back) {
        const Array& g = back.grad();
        const auto share = [&](const Array& x, const Array& other) {
          const Array wins =
              op == BinaryOp::maximum ? compare(CompareOp::less, other, x) : compare(CompareOp::less, x, other);
          const Array ties = map(UnaryOp::affine, compare(CompareOp::equal, x, other).to(g.dtype()), {0.5, 0});
          return map(BinaryOp::multiply, g, map(BinaryOp::add, wins.to(g.dtype()), ties));
        };
        if (back.needs(0)) back.give(0, to_a(share(a.get(), b.get())));
        if (back.needs(1)) back.give(1, to_b(share(b.get(), a.get())));
      });
}

}  // namespace

Tensor maximum(const Tensor& a, const Tensor& b) { return select(BinaryOp::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return select(BinaryOp::minimum, a, b); }

}  // namespace mnemo
