#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/rows.h>
#include <mnemo/core/families/workspace.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// x with an axis behind the others, and the reverse: views.
Array to_rows(const Array& x, int axis) {
  Dims order;
  for (int other = 0; other < x.rank(); ++other) {
    if (other != axis) order.push_back(other);
  }
  order.push_back(axis);
  return x.permute(order);
}
Array from_rows(const Array& rows, int axis) {
  Dims order;
  for (int other = 0; other < rows.rank(); ++other)
    order.push_back(other == axis ? rows.rank() - 1 : other - (other > axis ? 1 : 0));
  return rows.permute(order);
}

/// A scalar as a line of one.
Array as_line(const Array& x) { return x.rank() == 0 ? x.reshape({1}) : x; }

/// x in memory as rows along an axis, and the places of their first elements in order.
struct Rows {
  Array x, places;
};
Rows sorted_rows(const Array& x, int axis, bool descending, std::int64_t count) {
  Rows rows{to_rows(x, axis).contiguous(), {}};
  const std::int64_t size = x.size(axis);
  rows.places = Array(rows.x.shape().with(x.rank() - 1, count), DType::int64, x.device());
  if (rows.places.numel() == 0) return rows;
  Backend& backend = x.device().backend();
  SortCall call{{rows.places.numel() / count, size, count}, descending, rows.x, rows.places};
  call.workspace = new_workspace(backend.decisions().sort_workspace(call.sizes, x.dtype()), x.device());
  count_operations(x.numel());
  backend.sort(call);
  // So that a GPU is not waited for where they are used as an index.
  rows.places.storage()->set_integers({0, size - 1});
  return rows;
}

}  // namespace

SortedArrays sort(const char* op, const Array& x, int axis, bool descending, std::optional<std::int64_t> count) {
  check_defined(op, x);
  const Array lines = as_line(x);
  axis = normalize_axis(axis, lines.rank(), op);
  const std::int64_t size = lines.size(axis), least = x.rank() == 0 ? 1 : 0, most = count.value_or(size);
  if (most < least || most > size) {
    fail<ShapeError>(op, fmt::format("k is {}, but axis {} of {} has {} element{}: allowed are {} to {}", most, axis,
                                     x.shape().text(), size, size == 1 ? "" : "s", least, size));
  }
  const Rows rows = sorted_rows(lines, axis, descending, most);
  const Array values = take_elements(rows.x, lines.rank() - 1, rows.places);
  if (x.rank() == 0) return {values.reshape({}), rows.places.reshape({})};
  return {from_rows(values, axis), from_rows(rows.places, axis)};
}

Array sorted_places(const char* op, const Array& x, int axis, bool descending) {
  check_defined(op, x);
  const Array lines = as_line(x);
  axis = normalize_axis(axis, lines.rank(), op);
  const Array places = sorted_rows(lines, axis, descending, lines.size(axis)).places;
  return x.rank() == 0 ? places.reshape({}) : from_rows(places, axis);
}

Array sort_gradient(const Array& grad, int axis, const Array& indices, const Shape& x_shape) {
  if (x_shape.rank() == 0) return grad;
  axis = normalize_axis(axis, x_shape.rank(), "sort");
  const Array rows = to_rows(grad, axis), places = to_rows(indices, axis);
  const Shape shape = rows.shape().with(rows.rank() - 1, x_shape[axis]);
  return from_rows(add_elements(rows, rows.rank() - 1, places, shape), axis);
}

}  // namespace mnemo
