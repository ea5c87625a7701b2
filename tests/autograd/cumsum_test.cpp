#include <doctest/doctest.h>

#include <limits>

#include <mnemo/core/error.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

OpRow cumsum_row(Shape shape, int axis) {
  return {"cumsum " + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return cumsum(x[0], axis); },
          [=](const Plains& x) {
            const auto along = static_cast<std::size_t>(axis < 0 ? axis + x[0].rank() : axis);
            return filled(x[0].sizes, [&](Index index) {
              double sum = 0;
              for (; index[along] >= 0; --index[along]) sum += x[0].at(index);
              return sum;
            });
          }};
}

}  // namespace

TEST_CASE("op rows: cumsum") {
  std::vector<OpRow> rows{cumsum_row({3, 5}, 1),   cumsum_row({3, 5}, 0),      cumsum_row({2, 3, 4, 5}, 1),
                          cumsum_row({7}, -1),     cumsum_row({2, 1, 3}, 1),   cumsum_row({0, 3}, 1),
                          cumsum_row({2, 0}, 1),   cumsum_row({1, 300, 2}, 1), cumsum_row({2, 40, 33}, -2),
                          cumsum_row({2, 600}, -1)};
  for (OpRow& row : rows) row.smooth_in_half = row.inputs[0].shape.numel() < 200;
  rows[0].large = {{{60, 1031}}}, rows[1].large = {{{60, 1031}}}, rows[2].large = {{{7, 50, 10, 20}}};
  check(rows);
}

TEST_CASE("cumsum: integers count in int64 and wrap around; float16 is added up in float64") {
  const Tensor bytes = Tensor(Array::from<std::uint8_t>({200, 100, 1}, {3}));
  CHECK(cumsum(bytes, 0).values<std::int64_t>() == std::vector<std::int64_t>{200, 300, 301});
  CHECK(cumsum(less(tensor<float>({1, 3, 2}, {3}), 2.5), 0).values<std::int64_t>() ==
        std::vector<std::int64_t>{1, 1, 2});
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  CHECK(cumsum(tensor<std::int64_t>({high, 1}, {2}), 0).values<std::int64_t>()[1] ==
        std::numeric_limits<std::int64_t>::min());
  // Rounded after every step, 2048 would stay 2048.
  const Tensor ones_after =
      concat({full({1}, 2048, {.dtype = DType::float16}), ones({8}, {.dtype = DType::float16})}, 0);
  CHECK(select(cumsum(ones_after, 0), 0, -1).item() == 2056);
  CHECK_THROWS_AS((void)cumsum(bytes, 1), ShapeError);
}
