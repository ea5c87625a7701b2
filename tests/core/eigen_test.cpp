// Products of several tiles against an independent library's.
#include <doctest/doctest.h>

#include <Eigen/Core>

#include <mnemo/core/families.h>

using namespace mnemo;

TEST_CASE("large matrix products equal Eigen's") {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  struct Sizes {
    std::int64_t rows, columns, depth;
  };
  for (const Sizes& sizes : {Sizes{257, 391, 513}, Sizes{1, 1000, 700}, Sizes{1000, 3, 650}, Sizes{128, 64, 2049}}) {
    CAPTURE(sizes.rows);
    const Array a = random({.kind = RandomCall::Kind::normal}, {sizes.rows, sizes.depth}, DType::float64);
    const Array b = random({.kind = RandomCall::Kind::normal}, {sizes.columns, sizes.depth}, DType::float64);
    const Array c = matmul(a, b.transpose(0, 1));
    const Eigen::Map<const Matrix> left(a.data<double>(), sizes.rows, sizes.depth),
        right(b.data<double>(), sizes.columns, sizes.depth);
    const Eigen::Map<const Matrix> result(c.data<double>(), sizes.rows, sizes.columns);
    CHECK((result - left * right.transpose()).cwiseAbs().maxCoeff() < 1e-10);
  }
}
