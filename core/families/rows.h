// Rows by number: gather and scatter_add where one number is for all elements of a row. Private.
#pragma once

#include <mnemo/core/array.h>

namespace mnemo {

/// Rows of x (count, sizes...) at `index` (n), int64: (n, sizes...), row-major. Throws ShapeError for a number that no
/// row has. Families want a number for each element: they get them for so many rows at a time that those take a few
/// MiB.
Array take_rows(const char* op, const Array& x, const Array& index);
/// The reverse: rows (n, sizes...) added to zeros of `shape`, in their order. REQUIRES: `index` has been through
/// take_rows.
Array add_rows(const Array& rows, const Array& index, const Shape& shape);

}  // namespace mnemo
