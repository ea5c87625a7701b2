// Rows by number: gather and scatter_add where one number is for all elements of a row. Private.
#pragma once

#include <mnemo/core/array.h>

namespace mnemo {

/// Throws unless `index` is int64 and each of its numbers a place along an axis of an array of `shape`.
void check_places(const char* op, const Array& index, const Shape& shape, int axis);

/// gather and scatter_add of what they have let pass once, along an axis counted from the front.
Array take_elements(const Array& x, int axis, const Array& index);
Array add_elements(const Array& x, int axis, const Array& index, const Shape& shape);

/// Rows of x (count, sizes...) at `index` (n), int64: (n, sizes...), row-major. REQUIRES, here and below: check_places
/// has let the index pass.
Array take_rows(const Array& x, const Array& index);
/// The reverse: rows (n, sizes...) added to zeros of `shape`, in their order.
Array add_rows(const Array& rows, const Array& index, const Shape& shape);
/// The same added to a copy of x, in the dtype that they promote to.
Array add_rows(const Array& rows, const Array& index, const Array& x);

}  // namespace mnemo
