#include <mnemo/core/families/rows.h>

#include <algorithm>

#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// Numbers that are there at a time: 4 MiB of them.
constexpr std::int64_t kNumbers = std::int64_t{1} << 19;

/// Calls body(first row, last row, a number for each of their elements).
template <class Body>
void in_pieces(const Array& index, const Shape& rows, const Body& body) {
  const std::int64_t count = rows[0], each = count == 0 ? 0 : rows.numel() / count;
  if (each == 0) return;
  Dims column{count};
  for (int axis = 1; axis < rows.rank(); ++axis) column.push_back(1);
  const Array numbers = index.reshape(column);
  const std::int64_t piece = std::max<std::int64_t>(1, kNumbers / each);
  for (std::int64_t begin = 0; begin < count; begin += piece) {
    const std::int64_t end = std::min(count, begin + piece);
    count_operations((end - begin) * each);
    body(begin, end, numbers.slice(0, begin, end).expand(rows.with(0, end - begin)).contiguous());
  }
}

/// `sums` (row-major) with the rows added, in its dtype.
Array added(const Array& rows, const Array& index, Array sums) {
  in_pieces(index, rows.shape(), [&](std::int64_t begin, std::int64_t end, const Array& numbers) {
    const Array piece = rows.slice(0, begin, end).to(sums.dtype()).contiguous();
    rows.device().backend().scatter_add(piece, 0, numbers, sums);
  });
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
  in_pieces(index, out.shape(), [&](std::int64_t begin, std::int64_t end, const Array& numbers) {
    x.device().backend().gather(source, 0, numbers, out.slice(0, begin, end));
  });
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
