// Comparisons, which are never recorded, and what is chosen by one.
#include <fmt/format.h>

#include <mnemo/autograd/number.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/origin.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

namespace {

/// op(a, b), or op(b, a) where `turned`. What is wrong is said of a and b in the order of the caller.
Array compared(const char* name, CompareOp op, const Tensor& a, const Tensor& b, bool turned = false) {
  check_same_device(name, a.array(), b.array());
  (void)broadcast(a.shape(), b.shape(), name);
  return turned ? compare(op, b.array(), a.array()) : compare(op, a.array(), b.array());
}

}  // namespace

Tensor equal(const Tensor& a, const Tensor& b) {
  const Operation operation("equal");
  return Tensor(compared("equal", CompareOp::equal, a, b));
}
Tensor not_equal(const Tensor& a, const Tensor& b) {
  const Operation operation("not_equal");
  const Array same = compared("not_equal", CompareOp::equal, a, b);
  return Tensor(compare(CompareOp::equal, same, full(Shape{}, 0, DType::boolean, same.device())));
}
Tensor less(const Tensor& a, const Tensor& b) {
  const Operation operation("less");
  return Tensor(compared("less", CompareOp::less, a, b));
}
Tensor less_equal(const Tensor& a, const Tensor& b) {
  const Operation operation("less_equal");
  return Tensor(compared("less_equal", CompareOp::less_equal, a, b));
}
Tensor greater(const Tensor& a, const Tensor& b) {
  const Operation operation("greater");
  return Tensor(compared("greater", CompareOp::less, a, b, true));
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  const Operation operation("greater_equal");
  return Tensor(compared("greater_equal", CompareOp::less_equal, a, b, true));
}

Tensor equal(const Tensor& a, Number b) { return equal(a, b.beside(a)); }
Tensor not_equal(const Tensor& a, Number b) { return not_equal(a, b.beside(a)); }
Tensor less(const Tensor& a, Number b) { return less(a, b.beside(a)); }
Tensor less_equal(const Tensor& a, Number b) { return less_equal(a, b.beside(a)); }
Tensor greater(const Tensor& a, Number b) { return greater(a, b.beside(a)); }
Tensor greater_equal(const Tensor& a, Number b) { return greater_equal(a, b.beside(a)); }

Tensor one_hot(const Tensor& indices, std::int64_t classes, DType dtype) {
  const Operation operation("one_hot");
  check_defined("one_hot", indices.array());
  check_dtype("one_hot", "the index", indices.array(), DType::int64);
  if (classes < 1) fail<ShapeError>("one_hot", fmt::format("{} classes: it must be at least 1", classes));
  if (const auto bad = indices.device().backend().first_bad_index(indices.array().contiguous(), classes, 0)) {
    fail<ShapeError>("one_hot", fmt::format("index {} in {} is no class: allowed are 0 to {}", *bad,
                                            indices.shape().text(), classes - 1));
  }
  const Array places = indices.array().unsqueeze(-1), numbers = arange(classes, indices.device()).array();
  return Tensor(compare(CompareOp::equal, places, numbers).to(dtype));
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Operation operation("where");
  Array y = choose(condition.array(), a.array(), b.array());
  if (!is_floating(y.dtype())) return Tensor(std::move(y));
  const bool wanted = needs_grad(a) || needs_grad(b);
  const Shape shape = y.shape();
  return record({&a, &b, &condition}, std::move(y),
                [to_a = Origin(a, shape), to_b = Origin(b, shape),
                 condition = save_if(wanted, condition.array())](Backward& back) {
                  Array g = back.take_grad();
                  const Array zero = full(Shape{}, 0, g.dtype(), g.device());
                  if (back.needs(0))
                    back.give(0, to_a(choose(condition.get(), back.needs(1) ? g : std::move(g), zero)));
                  if (back.needs(1)) back.give(1, to_b(choose(condition.get(), zero, std::move(g))));
                });
}

Tensor where(const Tensor& condition, const Tensor& a, Number b) { return where(condition, a, b.beside(a)); }
Tensor where(const Tensor& condition, Number a, const Tensor& b) { return where(condition, a.beside(b), b); }

}  // namespace mnemo
