#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/workspace.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// (batch..., rows, columns) as (B, rows, columns) with the leading dimensions broadcast to `batch`; a copy only
/// where strides cannot express it.
Array as_batch(const Array& x, const Shape& batch) {
  if (x.rank() == 2 && batch.rank() == 0) return x.unsqueeze(0);
  Dims wide = batch;
  wide.push_back(x.size(x.rank() - 2));
  wide.push_back(x.size(x.rank() - 1));
  const Array expanded = x.expand(Shape(wide));
  return expanded.reshape({batch.numel(), wide[wide.rank() - 2], wide[wide.rank() - 1]});
}

Shape leading(const Array& x) {
  Dims sizes;
  for (int axis = 0; axis < x.rank() - 2; ++axis) sizes.push_back(x.size(axis));
  return Shape(sizes);
}

/// Fills call.out. REQUIRES: what Backend::matmul does.
void multiply(MatmulCall call) {
  count_products(2 * call.out.numel() * call.a.size(2));
  const MatmulProblem problem{call.out.size(0), call.out.size(1), call.out.size(2), call.a.size(2), call.a.dtype()};
  Backend& backend = call.a.device().backend();
  call.workspace = new_workspace(backend.decisions().matmul_workspace(problem, conv_policy()), call.a.device());
  backend.matmul(call);
}

}  // namespace

void matmul_into(const Array& a, const Array& b, const Array& out, bool accumulate, double scale) {
  check_same_device("matmul", a, b);
  check_same_device("matmul", a, out);
  check_floating("matmul", a);
  check_dtype("matmul", "the second operand", b, a.dtype());
  check_dtype("matmul", "the result", out, a.dtype());
  const bool fits = a.rank() == 3 && b.rank() == 3 && a.size(2) == b.size(1) && a.size(0) == b.size(0) &&
                    out.shape() == Shape{a.size(0), a.size(1), b.size(2)};
  if (!fits) {
    fail<ShapeError>("matmul", fmt::format("{} x {} does not fit into {}: (B, M, K) x (B, K, N) is (B, M, N)",
                                           a.shape().text(), b.shape().text(), out.shape().text()));
  }
  if (out.numel() == 0) return;
  multiply({.a = a, .b = b, .out = out, .accumulate = accumulate, .scale = scale});
  out.storage()->changed_in_place();
}

Array matmul(const Array& a, const Array& b, const Array& bias) {
  check_same_device("matmul", a, b);
  check_floating("matmul", a);
  check_dtype("matmul", "the second operand", b, a.dtype());
  if (a.rank() == 0 || b.rank() == 0) {
    fail<ShapeError>("matmul", fmt::format("{} and {}: scalars have no rows or columns; multiply with *",
                                           a.shape().text(), b.shape().text()));
  }
  const Array left = a.rank() == 1 ? a.unsqueeze(0) : a;
  const Array right = b.rank() == 1 ? b.unsqueeze(1) : b;
  const std::int64_t inner = left.size(left.rank() - 1);
  if (inner != right.size(right.rank() - 2)) {
    fail<ShapeError>("matmul", fmt::format("{} x {}: the inner sizes {} and {} differ; transpose one operand?",
                                           a.shape().text(), b.shape().text(), inner, right.size(right.rank() - 2)));
  }
  const std::int64_t columns = right.size(right.rank() - 1);
  if (bias.defined()) {
    check_same_device("matmul", a, bias);
    check_dtype("matmul", "the bias", bias, a.dtype());
    if (!(bias.shape() == Shape{columns})) {
      fail<ShapeError>("matmul", fmt::format("bias {} must have one element for each of the {} columns of {}",
                                             bias.shape().text(), columns, right.shape().text()));
    }
  }
  const Shape batch = broadcast(leading(left), leading(right), "matmul");
  Dims sizes = batch;
  sizes.push_back(left.size(left.rank() - 2));
  sizes.push_back(columns);
  const Array out(Shape(sizes), a.dtype(), a.device());
  if (out.numel() > 0)
    multiply({.a = as_batch(left, batch), .b = as_batch(right, batch), .out = as_batch(out, batch), .bias = bias});
  Array result = out;
  if (b.rank() == 1) result = result.squeeze(-1);
  if (a.rank() == 1) result = result.squeeze(b.rank() == 1 ? -1 : -2);
  return result;
}

}  // namespace mnemo
