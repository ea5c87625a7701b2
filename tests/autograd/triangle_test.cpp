#include <doctest/doctest.h>

#include <limits>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

OpRow triangle_row(Shape shape, std::int64_t diagonal, bool above) {
  return {(above ? "triu " : "tril ") + shape.text(),
          {{shape}},
          [=](const Tensors& x) { return above ? triu(x[0], diagonal) : tril(x[0], diagonal); },
          [=](const Plains& x) {
            return filled(x[0].sizes, [&](const Index& index) {
              const std::int64_t ahead = index.back() - index[index.size() - 2];
              return (above ? ahead >= diagonal : ahead <= diagonal) ? x[0].at(index) : 0.0;
            });
          }};
}

}  // namespace

TEST_CASE("op rows: tril and triu") {
  std::vector<OpRow> rows;
  for (const bool above : {false, true}) {
    rows.push_back(triangle_row({3, 5}, 0, above));
    rows.push_back(triangle_row({5, 3}, 1, above));
    rows.push_back(triangle_row({2, 4, 4}, -2, above));
    rows.push_back(triangle_row({2, 3}, 9, above));
    rows.push_back(triangle_row({0, 3}, 0, above));
  }
  rows.front().large = {{{130, 515}}};
  check(rows);
  CHECK(tril(tensor<std::int64_t>({1, 2, 3, 4}, {2, 2})).values<std::int64_t>() ==
        std::vector<std::int64_t>{1, 0, 3, 4});
  const Tensor truths = ones({2, 2}, {.dtype = DType::boolean});
  CHECK(triu(truths).values<bool>() == std::vector<bool>{true, true, false, true});
  CHECK(triu(truths).dtype() == DType::boolean);
  constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();
  CHECK(tril(truths, far).values<bool>() == std::vector<bool>(4, true));
  CHECK(triu(truths, far).values<bool>() == std::vector<bool>(4, false));
  CHECK(triu(truths, -far - 1).values<bool>() == std::vector<bool>(4, true));
  CHECK_THROWS_WITH_AS((void)tril(zeros({3})), doctest::Contains("[tril] (3) must have two dimensions"), ShapeError);
}

TEST_CASE("a causal mask shows attention what `causal` shows it") {
  CHECK(causal_mask(2, 3).values<bool>() == std::vector<bool>{true, false, false, true, true, false});
  manual_seed(1);
  const Tensor q = randn({2, 4, 3}, {.dtype = DType::float64}), k = randn({2, 4, 3}, {.dtype = DType::float64});
  const auto masked = scaled_dot_product_attention(q, k, k, causal_mask(4, 4)).values<double>();
  const auto causal = scaled_dot_product_attention(q, k, k, {}, {.causal = true}).values<double>();
  for (std::size_t i = 0; i < causal.size(); ++i) CHECK(masked[i] == doctest::Approx(causal[i]).epsilon(1e-14));
}
