#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

void check_index(const char* op, const Array& x, int axis, const Array& index, std::int64_t limit) {
  check_same_device(op, x, index);
  check_dtype(op, "the index", index, DType::int64);
  if (x.rank() != index.rank() || !(x.shape().with(axis, 0) == index.shape().with(axis, 0))) {
    fail<ShapeError>(op, fmt::format("{} and index {} must have equal sizes outside axis {}", x.shape().text(),
                                     index.shape().text(), axis));
  }
  // No place is good in an empty axis; below, 0 would pass as the index that is always allowed.
  if (limit == 0 && index.numel() > 0) {
    fail<ShapeError>(op, fmt::format("index {} takes elements of {}, whose axis {} is empty", index.shape().text(),
                                     x.shape().text(), axis));
  }
  if (const auto bad = index.device().backend().first_bad_index(index.contiguous(), limit, 0)) {
    fail<ShapeError>(op, fmt::format("index {} in {} is out of range for axis {} of {}: allowed are 0 to {}", *bad,
                                     index.shape().text(), axis, x.shape().text(), limit - 1));
  }
}

}  // namespace

Array gather(const Array& x, int axis, const Array& index) {
  check_defined("gather", x);
  axis = normalize_axis(axis, x.rank(), "gather");
  check_index("gather", x, axis, index, x.size(axis));
  const Array source = x.contiguous(), places = index.contiguous();
  const Array out(index.shape(), x.dtype(), x.device());
  count_operations(out.numel());
  x.device().backend().gather(source, axis, places, out);
  return out;
}

Array scatter_add(const Array& x, int axis, const Array& index, const Shape& shape) {
  check_defined("scatter_add", x);
  axis = normalize_axis(axis, x.rank(), "scatter_add");
  if (shape.rank() != x.rank() || !(shape.with(axis, 0) == x.shape().with(axis, 0))) {
    fail<ShapeError>("scatter_add", fmt::format("{} and the result {} must have equal sizes outside axis {}",
                                                x.shape().text(), shape.text(), axis));
  }
  check_index("scatter_add", x, axis, index, shape[axis]);
  const Array source = x.contiguous(), places = index.contiguous();
  const Array out = full(shape, 0, x.dtype(), x.device());
  count_operations(x.numel());
  x.device().backend().scatter_add(source, axis, places, out);
  return out;
}

}  // namespace mnemo
