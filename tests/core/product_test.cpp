// The two engines of matrix products against each other: Eigen reads operands with a dimension of stride 1 in place,
// the tiles of the direct convolution take the others.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <mnemo/core/families.h>

using namespace mnemo;

namespace {

/// The same values with a gap after each element, so that no dimension has stride 1.
Array spread(const Array& x) {
  const Array wide({x.size(0), 2 * x.size(1)}, x.dtype());
  const Array view = wide.slice(1, 0, wide.size(1), 2);
  copy_into(x, view);
  return view;
}

}  // namespace

TEST_CASE("product: both engines agree on sizes of several strips and tiles") {
  struct Sizes {
    std::int64_t rows, columns, depth;
  };
  double largest = 0;
  for (const Sizes& sizes : {Sizes{257, 391, 513}, Sizes{1, 1000, 700}, Sizes{1000, 3, 650}, Sizes{128, 64, 2049}}) {
    CAPTURE(sizes.rows);
    const Array a = random({.kind = RandomCall::Kind::normal}, {sizes.rows, sizes.depth}, DType::float64);
    const Array b = random({.kind = RandomCall::Kind::normal}, {sizes.columns, sizes.depth}, DType::float64);
    const auto by_eigen = matmul(a, b.transpose(0, 1)).values<double>();
    const auto by_tiles = matmul(spread(a), b.transpose(0, 1)).values<double>();
    double worst = 0;
    for (std::size_t i = 0; i < by_eigen.size(); ++i) worst = std::max(worst, std::abs(by_eigen[i] - by_tiles[i]));
    CHECK(worst < 1e-10);
    largest = std::max(largest, worst);
  }
  CHECK(largest > 0);  // not the same code twice
}
