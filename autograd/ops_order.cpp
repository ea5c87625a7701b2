#include <mnemo/autograd/ops_order.h>

#include <optional>
#include <utility>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

Sorted sorted(const char* op, const Tensor& x, int axis, bool descending, std::optional<std::int64_t> count = {}) {
  const Operation operation(op);
  const SortedArrays found = sort(op, x.array(), axis, descending, count);
  Tensor values = record({&x}, found.values,
                         [axis, shape = x.shape(), indices = save_if(needs_grad(x), found.indices)](Backward& back) {
                           back.give(0, sort_gradient(back.grad(), axis, indices.get(), shape));
                         });
  return {std::move(values), Tensor(found.indices)};
}

}  // namespace

Sorted sort(const Tensor& x, int axis, bool descending) { return sorted("sort", x, axis, descending); }

Tensor argsort(const Tensor& x, int axis, bool descending) {
  const Operation operation("argsort");
  return Tensor(sorted_places("argsort", x.array(), axis, descending));
}

Sorted topk(const Tensor& x, std::int64_t k, int axis, bool largest) { return sorted("topk", x, axis, largest, k); }

Tensor arg_min(const Tensor& x, int axis) {
  const Operation operation("arg_min");
  return Tensor(arg_min(x.array(), axis));
}

Tensor repeat(const Tensor& x, const Dims& counts) {
  constexpr const char* kOp = "repeat";
  const Operation operation(kOp);
  check_defined(kOp, x.array());
  const int added = counts.rank() - x.rank();
  if (added < 0) {
    fail<ShapeError>(kOp, fmt::format("{} count{} for {}: one is needed for each axis, 1 where it stays as it is",
                                      counts.rank(), counts.rank() == 1 ? "" : "s", x.shape().text()));
  }
  Dims sizes;
  for (int axis = 0; axis < counts.rank(); ++axis) {
    if (counts[axis] < 0)
      fail<ShapeError>(kOp, fmt::format("count {} of axis {} must not be negative", counts[axis], axis));
    sizes.push_back(axis < added ? 1 : x.size(axis - added));
  }
  Tensor y = reshape(x, sizes);
  for (int axis = 0; axis < counts.rank(); ++axis) {
    if (counts[axis] == 1) continue;
    sizes[axis] = checked_multiply(sizes[axis], counts[axis], "the number of elements");
    // (before, count, the axis and those behind it), of which the middle is expanded.
    std::int64_t before = 1, rest = 1;
    for (int other = 0; other < counts.rank(); ++other) (other < axis ? before : rest) *= y.size(other);
    y = reshape(expand(reshape(y, {before, 1, rest}), {before, counts[axis], rest}), sizes);
  }
  return y.array().storage() == x.array().storage() ? clone(y) : contiguous(y);
}

Tensor roll(const Tensor& x, std::int64_t shift, int axis) {
  const Operation operation("roll");
  check_defined("roll", x.array());
  axis = normalize_axis(axis, x.rank(), "roll");
  const std::int64_t size = x.size(axis);
  const std::int64_t over = size == 0 ? 0 : (shift % size + size) % size;  // so many come in at the front
  if (over == 0) return clone(x);
  return concat({slice(x, axis, size - over, size), slice(x, axis, 0, size - over)}, axis);
}

}  // namespace mnemo
