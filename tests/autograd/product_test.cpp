#include <doctest/doctest.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// By the definition; vectors become a row on the left and a column on the right, and lose that axis again.
Plain product(Plain a, Plain b) {
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a.sizes.insert(a.sizes.begin(), 1);
  if (column) b.sizes.push_back(1);
  const Index lead_a(a.sizes.begin(), a.sizes.end() - 2), lead_b(b.sizes.begin(), b.sizes.end() - 2);
  Index sizes = broadcast_sizes(lead_a, lead_b);
  sizes.push_back(a.size(-2));
  sizes.push_back(b.size(-1));
  const std::int64_t inner = a.size(-1);
  Plain y = filled(sizes, [&](const Index& index) {
    const auto place = [&](const Index& lead, std::int64_t i, std::int64_t j) {
      Index own;
      for (std::size_t axis = 0; axis < lead.size(); ++axis)
        own.push_back(lead[axis] == 1 ? 0 : index[axis + sizes.size() - 2 - lead.size()]);
      own.push_back(i);
      own.push_back(j);
      return own;
    };
    double total = 0;
    for (std::int64_t k = 0; k < inner; ++k) {
      total += a.at(place(lead_a, index[index.size() - 2], k)) * b.at(place(lead_b, k, index.back()));
    }
    return total;
  });
  if (column) y.sizes.pop_back();
  if (row) y.sizes.erase(y.sizes.end() - (column ? 1 : 2));
  return y;
}

Plain linear_reference(const Plains& x) {
  Index sizes = x[0].sizes;
  sizes.back() = x[1].size(0);
  return filled(sizes, [&](Index index) {
    const std::int64_t out = index.back();
    double total = x.size() > 2 ? x[2].at({out}) : 0;
    for (std::int64_t in = 0; in < x[1].size(1); ++in) {
      index.back() = in;
      total += x[0].at(index) * x[1].at({out, in});
    }
    return total;
  });
}

}  // namespace

TEST_CASE("op rows: matmul") {
  std::vector<OpRow> rows;
  const std::pair<Shape, Shape> pairs[] = {{{3, 5}, {5, 2}},
                                           {{1, 1}, {1, 1}},
                                           {{7}, {7}},
                                           {{4}, {4, 3}},
                                           {{3, 4}, {4}},
                                           {{2, 3, 4}, {2, 4, 5}},
                                           {{2, 3, 4}, {4, 5}},
                                           {{3, 4}, {2, 4, 5}},
                                           {{2, 1, 3, 4}, {5, 4, 2}},
                                           {{2, 3, 4}, {4}},
                                           {{4}, {2, 4, 3}},
                                           {{0, 3}, {3, 2}},
                                           {{2, 0}, {0, 3}},
                                           {{0, 2, 3}, {3, 2}},
                                           {{0}, {0}},
                                           {{2, 1, 3, 2}, {1, 3, 2, 3}}};
  for (const auto& [a, b] : pairs) {
    rows.push_back({"matmul " + a.text() + b.text(),
                    {{a}, {b}},
                    [](const Tensors& x) { return matmul(x[0], x[1]); },
                    [](const Plains& x) { return product(x[0], x[1]); }});
  }
  rows.front().large = {{{150, 260}}, {{260, 131}}};
  check(rows);
}

TEST_CASE("op rows: linear") {
  std::vector<OpRow> rows;
  for (const Shape& x : {Shape{3, 5}, Shape{5}, Shape{2, 3, 5}, Shape{0, 5}, Shape{1, 5}}) {
    rows.push_back({"linear " + x.text(),
                    {{x}, {{4, 5}}, {{4}}},
                    [](const Tensors& t) { return linear(t[0], t[1], t[2]); },
                    linear_reference});
    rows.push_back({"linear without bias " + x.text(),
                    {{x}, {{4, 5}}},
                    [](const Tensors& t) { return linear(t[0], t[1]); },
                    linear_reference});
  }
  // No inputs: only the bias is left. No outputs: nothing is.
  rows.push_back({"linear of nothing",
                  {{{3, 0}}, {{4, 0}}, {{4}}},
                  [](const Tensors& t) { return linear(t[0], t[1], t[2]); },
                  linear_reference});
  rows.push_back({"linear to nothing",
                  {{{3, 2}}, {{0, 2}}, {{0}}},
                  [](const Tensors& t) { return linear(t[0], t[1], t[2]); },
                  linear_reference});
  rows.front().large = {{{200, 130}}, {{140, 130}}, {{140}}};
  check(rows);
}

TEST_CASE("gradients are computed only for what takes part") {
  const Tensor x = randn({4, 3}, {.dtype = DType::float64}),
               w = randn({2, 3}, {.dtype = DType::float64, .requires_grad = true});
  sum(linear(x, w)).backward();
  CHECK(w.grad().defined());
  CHECK_FALSE(x.grad().defined());
}
