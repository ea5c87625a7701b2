#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

Tensor dropout(const Tensor& x, double p, bool training) {
  const Operation operation("dropout");
  if (!(p >= 0 && p <= 1)) fail<ShapeError>("dropout", fmt::format("probability {} is not between 0 and 1", p));
  check_floating("dropout", x.array());
  if (!training_then(training) || p == 0) return x;
  DropoutCall call{.p = p};
  Array y = dropout_next(call, x.array());
  return record({&x}, std::move(y), [call](Backward& back) { back.give(0, dropout(call, back.grad())); });
}

namespace {

Tensor softmax_over(const Tensor& x, int axis, bool logarithm) {
  const char* op = logarithm ? "log_softmax" : "softmax";
  if (const OperandCast cast(op, {&x}); cast) return softmax_over(cast(x), axis, logarithm);
  const Operation operation(op);
  Array y = softmax(x.array(), axis, logarithm);
  Saved saved = save_if(needs_grad(x), y);
  return record({&x}, std::move(y), [axis, logarithm, y = std::move(saved)](Backward& back) {
    back.give(0, softmax_gradient(back.grad(), y.get(), axis, logarithm));
  });
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) { return softmax_over(x, axis, false); }
Tensor log_softmax(const Tensor& x, int axis) { return softmax_over(x, axis, true); }

}  // namespace mnemo
