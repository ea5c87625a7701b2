// What is on one side of a diagonal, and the masks that say so.
#include <algorithm>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

/// Booleans (rows, columns): column - row is at most `diagonal`, or at least where `above`.
Tensor side(std::int64_t rows, std::int64_t columns, std::int64_t diagonal, bool above, const Device& device) {
  diagonal = std::clamp(diagonal, -rows, columns);  // farther away nothing changes
  const Tensor column = arange(columns, device), limit = unsqueeze(arange(rows, device) + diagonal, 1);
  return above ? greater_equal(column, limit) : less_equal(column, limit);
}

Tensor triangle(const char* op, const Tensor& x, std::int64_t diagonal, bool above) {
  const Operation operation(op);
  check_defined(op, x.array());
  if (x.rank() < 2) fail<ShapeError>(op, fmt::format("{} must have two dimensions or more", x.shape().text()));
  const Tensor zero(full(Shape{}, 0, x.dtype(), x.device()));  // of x's dtype: booleans stay such
  return where(side(x.size(-2), x.size(-1), diagonal, above, x.device()), x, zero);
}

}  // namespace

Tensor tril(const Tensor& x, std::int64_t diagonal) { return triangle("tril", x, diagonal, false); }
Tensor triu(const Tensor& x, std::int64_t diagonal) { return triangle("triu", x, diagonal, true); }

Tensor causal_mask(std::int64_t queries, std::int64_t keys, const Device& device) {
  const Operation operation("causal_mask");
  return side(queries, keys, 0, false, device);
}

}  // namespace mnemo
