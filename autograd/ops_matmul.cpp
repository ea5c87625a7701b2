#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

Tensor matmul(const Tensor& a, const Tensor& b) {
  if (const OperandCast cast("matmul", {&a, &b}); cast) return matmul(cast(a), cast(b));
  check_same_device("matmul", a.array(), b.array());
  if ((a.rank() == 1 && b.rank() >= 1) || (b.rank() == 1 && a.rank() >= 1)) {
    if (a.size(-1) != b.size(b.rank() == 1 ? 0 : -2)) {
      fail<ShapeError>(
          "matmul", fmt::format("{} x {}: the inner sizes {} and {} differ; transpose one operand?", a.shape().text(),
                                b.shape().text(), a.size(-1), b.size(b.rank() == 1 ? 0 : -2)));
    }
  }
  if (a.rank() == 1 && b.rank() >= 1) return squeeze(matmul(unsqueeze(a, 0), b), b.rank() == 1 ? 0 : -2);
  if (b.rank() == 1 && a.rank() >= 1) return squeeze(matmul(a, unsqueeze(b, 1)), -1);
  const Operation operation("matmul");
  Saved saved_a = save_if(needs_grad(b), a.array()), saved_b = save_if(needs_grad(a), b.array());
  Array y = output_of([&] { return matmul(a.array(), b.array()); });
  return record({&a, &b}, std::move(y),
                [shape_a = a.shape(), shape_b = b.shape(), a = std::move(saved_a),
                 b = std::move(saved_b)](Backward& back) {
                  // With C = A B: dA = dC B', dB = A' dC, summed over the broadcast leading dimensions.
                  if (back.needs(0)) back.give(0, sum_to(matmul(back.grad(), b.get().transpose(-2, -1)), shape_a));
                  if (back.needs(1)) back.give(1, sum_to(matmul(a.get().transpose(-2, -1), back.grad()), shape_b));
                });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (const OperandCast cast("linear", {&x, &weight, &bias}); cast) return linear(cast(x), cast(weight), cast(bias));
  const Operation operation("linear");
  check_floating("linear", x.array());
  check_same_device("linear", x.array(), weight.array());
  check_dtype("linear", "the weight", weight.array(), x.dtype());
  if (weight.rank() != 2 || x.rank() < 1 || x.size(-1) != weight.size(1)) {
    fail<ShapeError>(
        "linear",
        fmt::format("input {} and weight {}: the input's last size must equal the weight's second one (out, in)",
                    x.shape().text(), weight.shape().text()));
  }
  if (bias.defined() && !(bias.shape() == Shape{weight.size(0)})) {
    fail<ShapeError>("linear", fmt::format("bias {} must have the {} outputs of weight {}", bias.shape().text(),
                                           weight.size(0), weight.shape().text()));
  }
  if (bias.defined()) {
    check_same_device("linear", x.array(), bias.array());
    check_dtype("linear", "the bias", bias.array(), x.dtype());
  }
  std::int64_t count = 1;  // counted, not divided: the last size may be 0
  for (int axis = 0; axis < x.rank() - 1; ++axis) count *= x.size(axis);
  const Array rows = x.array().reshape({count, x.size(-1)});
  Saved saved_rows = save_if(needs_grad(weight), rows), saved_weight = save_if(needs_grad(x), weight.array());
  Array y =
      output_of([&] { return matmul(rows, weight.array().transpose(0, 1), bias.defined() ? bias.array() : Array()); });
  Dims sizes = x.shape();
  sizes[x.rank() - 1] = weight.size(0);
  return record({&x, &weight, &bias}, y.reshape(sizes),
                [count, shape = x.shape(), x = std::move(saved_rows),
                 weight = std::move(saved_weight)](Backward& back) {
                  const Array g = back.grad().reshape({count, back.grad().size(back.grad().rank() - 1)});
                  if (back.needs(0)) back.give(0, matmul(g, weight.get()).reshape(shape));
                  if (back.needs(1)) back.give(1, matmul(g.transpose(0, 1), x.get()));
                  if (back.needs(2)) back.give(2, reduce(ReduceOp::sum, g, 1u, false));
                });
}

}  // namespace mnemo
