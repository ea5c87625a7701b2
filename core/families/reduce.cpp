#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

Shape without(const Shape& shape, unsigned axes, bool keep) {
  Dims sizes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool reduced = (axes >> axis & 1u) != 0;
    if (!reduced || keep) sizes.push_back(reduced ? 1 : shape[axis]);
  }
  return Shape(sizes);
}

Array arg_extreme(const char* op, const Array& x, int axis, bool smallest) {
  check_defined(op, x);
  axis = normalize_axis(axis, x.rank(), op);
  if (x.size(axis) == 0) fail<ShapeError>(op, fmt::format("axis {} of {} is empty", axis, x.shape().text()));
  const Array out(x.shape().with(axis, 1), DType::int64, x.device());
  count_operations(x.numel());
  x.device().backend().arg_max(x, axis, smallest, out);
  return out.squeeze(axis);
}

const char* reduce_name(ReduceOp op) { return op == ReduceOp::sum ? "sum" : op == ReduceOp::max ? "max" : "min"; }

}  // namespace

Array reduce(ReduceOp op, const Array& x, unsigned axes, bool keep, double scale) {
  check_defined(reduce_name(op), x);
  const Shape kept = without(x.shape(), axes, true);
  if (op != ReduceOp::sum && x.numel() == 0 && kept.numel() > 0) {
    fail<ShapeError>(reduce_name(op), fmt::format("{} has no elements along the reduced axes, so no {}",
                                                  x.shape().text(), reduce_name(op)));
  }
  // Sums of small integers and of booleans are counts.
  const DType dtype = op == ReduceOp::sum && !is_floating(x.dtype()) ? DType::int64 : x.dtype();
  const Array out(kept, dtype, x.device());
  count_operations(x.numel());
  x.device().backend().reduce(op, x, axes, scale, out);
  return keep ? out : out.reshape(without(x.shape(), axes, false));
}

Array sum_to(const Array& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int added = x.rank() - shape.rank();
  unsigned axes = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis < added || (shape[axis - added] == 1 && x.size(axis) != 1)) axes |= 1u << axis;
  }
  return reduce(ReduceOp::sum, x, axes).reshape(shape);
}

Array arg_max(const Array& x, int axis) { return arg_extreme("arg_max", x, axis, false); }
Array arg_min(const Array& x, int axis) { return arg_extreme("arg_min", x, axis, true); }

}  // namespace mnemo
