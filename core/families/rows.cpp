#include <mnemo/core/families/rows.h>

#include <algorithm>

#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// A number for each element of rows (count, sizes...): the same for all of one.
Array for_each_element(const Array& index, const Shape& rows) {
  Dims column{rows[0]};
  for (int axis = 1; axis < rows.rank(); ++axis) column.push_back(1);
  return index.contiguous().reshape(column).expand(rows);
}

/// Elements of rows in another dtype or layout that are there at a time.
constexpr std::int64_t kCopied = std::int64_t{1} << 20;

/// `sums` (row-major) with the rows added, in its dtype.
Array added(const Array& rows, const Array& index, Array sums) {
  if (rows.numel() == 0) return sums;
  const bool as_they_are = rows.dtype() == sums.dtype() && rows.is_contiguous();
  const Array numbers = index.reshape({rows.size(0)});
  const std::int64_t count = rows.size(0), each = rows.numel() / count;
  const std::int64_t piece = as_they_are ? count : std::max<std::int64_t>(1, kCopied / each);
  for (std::int64_t begin = 0; begin < count; begin += piece) {
    const std::int64_t end = std::min(count, begin + piece);
    const Array some = rows.slice(0, begin, end).to(sums.dtype()).contiguous();
    count_operations(some.numel());
    rows.device().backend().scatter_add(some, 0, for_each_element(numbers.slice(0, begin, end), some.shape()), sums);
  }
  return sums;
}

}  // namespace

void check_places(const char* op, const Array& index, const Shape& shape, int axis) {
  check_dtype(op, "the index", index, DType::int64);
  const std::int64_t limit = shape[axis];
  // No place is good in an empty axis; below, 0 would pass as the index that is always allowed.
  if (limit == 0 && index.numel() > 0) {
    fail<ShapeError>(op, fmt::format("index {} is one of elements of {}, whose axis {} is empty", index.shape().text(),
                                     shape.text(), axis));
  }
  if (const auto bad = index.device().backend().first_bad_index(index.contiguous(), limit, 0)) {
    fail<ShapeError>(op, fmt::format("index {} in {} is out of range for axis {} of {}: allowed are 0 to {}", *bad,
                                     index.shape().text(), axis, shape.text(), limit - 1));
  }
}

Array take_rows(const Array& x, const Array& index) {
  const Array source = x.contiguous(), out(x.shape().with(0, index.numel()), x.dtype(), x.device());
  count_operations(out.numel());
  if (out.numel() > 0) x.device().backend().gather(source, 0, for_each_element(index, out.shape()), out);
  out.storage()->set_integers_of(*x.storage());  // labels of some samples
  return out;
}

Array add_rows(const Array& rows, const Array& index, const Shape& shape) {
  return added(rows, index, full(shape, 0, rows.dtype(), rows.device()));
}

Array add_rows(const Array& rows, const Array& index, const Array& x) {
  Array sums(x.shape(), promote(x.dtype(), rows.dtype()), x.device());
  copy_into(x, sums);
  return added(rows, index, std::move(sums));
}

}  // namespace mnemo
