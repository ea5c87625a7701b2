#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/rows.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// REQUIRES: `sums` is row-major and of x's dtype.
Array added(const Array& x, int axis, const Array& index, Array sums) {
  const Array source = x.contiguous(), places = index.contiguous();
  count_operations(x.numel());
  x.device().backend().scatter_add(source, axis, places, sums);
  return sums;
}

/// Of x, which is to be added to an array of `shape`. Gives the axis, counted from the front.
int check_scatter(const Array& x, int axis, const Array& index, const Shape& shape) {
  constexpr const char* kOp = "scatter_add";
  check_same_device(kOp, x, index);
  axis = normalize_axis(axis, shape.rank(), kOp);
  if (x.rank() != shape.rank() || !(x.shape().with(axis, 0) == shape.with(axis, 0))) {
    fail<ShapeError>(kOp, fmt::format("{} and what it is added to, {}, must have equal sizes outside axis {}",
                                      x.shape().text(), shape.text(), axis));
  }
  if (!(index.shape() == x.shape())) {
    fail<ShapeError>(kOp, fmt::format("index {} must have the shape of what is added, {}: slice the larger one",
                                      index.shape().text(), x.shape().text()));
  }
  check_places(kOp, index, shape, axis);
  return axis;
}

}  // namespace

Array gather(const Array& x, int axis, const Array& index) {
  check_same_device("gather", x, index);
  axis = normalize_axis(axis, x.rank(), "gather");
  if (x.rank() != index.rank() || !(x.shape().with(axis, 0) == index.shape().with(axis, 0))) {
    fail<ShapeError>("gather", fmt::format("{} and index {} must have equal sizes outside axis {}", x.shape().text(),
                                           index.shape().text(), axis));
  }
  check_places("gather", index, x.shape(), axis);
  return take_elements(x, axis, index);
}

Array take_elements(const Array& x, int axis, const Array& index) {
  const Array source = x.contiguous(), places = index.contiguous();
  const Array out(index.shape(), x.dtype(), x.device());
  count_operations(out.numel());
  x.device().backend().gather(source, axis, places, out);
  return out;
}

Array scatter_add(const Array& x, int axis, const Array& index, const Shape& shape) {
  return add_elements(x, check_scatter(x, axis, index, shape), index, shape);
}

Array add_elements(const Array& x, int axis, const Array& index, const Shape& shape) {
  return added(x, axis, index, full(shape, 0, x.dtype(), x.device()));
}

Array scatter_add(const Array& x, int axis, const Array& index, const Array& source) {
  check_same_device("scatter_add", x, source);
  axis = check_scatter(source, axis, index, x.shape());
  const DType dtype = promote(x.dtype(), source.dtype());
  Array sums(x.shape(), dtype, x.device());
  copy_into(x, sums);
  return added(source.to(dtype), axis, index, std::move(sums));
}

}  // namespace mnemo
