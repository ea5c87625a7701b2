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

}  // namespace

Array take_rows(const char* op, const Array& x, const Array& index) {
  check_same_device(op, x, index);
  check_dtype(op, "the index", index, DType::int64);
  if (index.rank() != 1 || x.rank() < 1) {
    fail<ShapeError>(op, fmt::format("index {} must have one dimension, and {} at least one", index.shape().text(),
                                     x.shape().text()));
  }
  if (x.size(0) == 0 && index.numel() > 0) {
    fail<ShapeError>(op, fmt::format("index {} takes elements of {}, which has none along that axis",
                                     index.shape().text(), x.shape().text()));
  }
  if (const auto bad = index.device().backend().first_bad_index(index.contiguous(), x.size(0), 0)) {
    fail<ShapeError>(
        op, fmt::format("index {} in {} is out of range for {} with {} along that axis: allowed are 0 to {}", *bad,
                        index.shape().text(), x.shape().text(), x.size(0), x.size(0) - 1));
  }
  const Array source = x.contiguous(), out(x.shape().with(0, index.numel()), x.dtype(), x.device());
  in_pieces(index, out.shape(), [&](std::int64_t begin, std::int64_t end, const Array& numbers) {
    x.device().backend().gather(source, 0, numbers, out.slice(0, begin, end));
  });
  out.storage()->set_integers_of(*x.storage());  // labels of some samples
  return out;
}

Array add_rows(const Array& rows, const Array& index, const Shape& shape) {
  const Array source = rows.contiguous(), out = full(shape, 0, rows.dtype(), rows.device());
  in_pieces(index, rows.shape(), [&](std::int64_t begin, std::int64_t end, const Array& numbers) {
    rows.device().backend().scatter_add(source.slice(0, begin, end), 0, numbers, out);
  });
  return out;
}

}  // namespace mnemo
