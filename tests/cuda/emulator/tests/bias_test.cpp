// The bias of a linear layer: the library's kernel adds it to the product, and where the library does not, it is what
// the product is added to. How many kernels are started says which it was: the library's own are not counted.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <cublasLt.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/families.h>

#include "core/numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

/// By the definition, a multiplication at a time in float64: x (..., inputs), weight (outputs, inputs), bias (outputs).
void check_product(const Array& y, const Array& x, const Array& weight, const Array& bias) {
  const auto inputs = static_cast<std::size_t>(weight.size(1)), outputs = static_cast<std::size_t>(weight.size(0));
  const auto xs = x.values<double>(), ws = weight.values<double>(), bs = bias.values<double>();
  std::vector<double> expected(static_cast<std::size_t>(y.numel())), magnitudes = expected;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::size_t row = i / outputs, column = i % outputs;
    expected[i] = bs[column], magnitudes[i] = std::abs(bs[column]);
    for (std::size_t k = 0; k < inputs; ++k) {
      const double product = xs[row * inputs + k] * ws[column * inputs + k];
      expected[i] += product, magnitudes[i] += std::abs(product);
    }
  }
  CHECK(error_of(y, expected, magnitudes) <= 1);
}

template <class Work>
long long kernels_of(const Work& work) {
  const long long before = emulator::launches();
  work();
  return emulator::launches() - before;
}

/// How many kernels a linear layer starts, whose result is checked.
long long kernels_of_linear(const Array& x, const Array& weight, const Array& bias) {
  Tensor y;
  const long long kernels = kernels_of([&] { y = linear(Tensor(x), Tensor(weight), Tensor(bias)); });
  check_product(y.array(), x, weight, bias);
  return kernels;
}

/// Numbers on the device.
class Source {
 public:
  Source(const Device& device, DType dtype) : device_(device), dtype_(dtype) {}
  Array operator()(const Shape& shape) { return random_.array(shape, dtype_).to(device_); }

 private:
  Device device_;
  DType dtype_;
  Generator random_{31};
};

}  // namespace

TEST_CASE("cuda: bias: the library adds it to the product, and is told of another one each time") {
  const Device device = Device::open("cuda");
  for (const DType dtype : kFloating) {
    CAPTURE(std::string(name(dtype)));
    Source numbers(device, dtype);
    // Of float64 the emulated library has no algorithm with a bias. To a single row that is copied as bytes.
    const auto kernels = [&](std::int64_t rows) { return dtype == DType::float64 && rows > 1 ? 1 : 0; };
    const Array weight = numbers({6, 7}), bias = numbers({6}), other = numbers({6}), across = numbers({7, 6});
    for (const Shape& shape : {Shape{5, 7}, Shape{7}, Shape{2, 3, 7}, Shape{1, 7}, Shape{2, 1, 3, 7}}) {
      CAPTURE(shape.text());
      const Array x = numbers(shape);
      const int apart = kernels(x.numel() / 7);
      CHECK(kernels_of_linear(x, weight, bias) == apart);
      CHECK(kernels_of_linear(x, weight, other) == apart);
      CHECK(kernels_of_linear(x, across.transpose(0, 1), bias) == apart);
    }
    CHECK(kernels_of_linear(numbers({0, 7}), weight, bias) == 0);
    CHECK(kernels_of_linear(numbers({3, 0}), numbers({6, 0}), bias) == 1);  // spreads the bias, which is all
    // All of a batch are multiplied by the same matrix: one product of more rows.
    const Array batch = numbers({2, 5, 7});
    Array y;
    CHECK(kernels_of([&] { y = matmul(batch, weight.transpose(0, 1), bias); }) == kernels(10));
    check_product(y, batch, weight, bias);
  }
}

TEST_CASE("cuda: bias: where the library does not add it, the product is added to it") {
  const Device device = Device::open("cuda");
  for (const DType dtype : kFloating) {
    CAPTURE(std::string(name(dtype)));
    Source numbers(device, dtype);
    const Array x = numbers({5, 7}), weight = numbers({6, 7}), bias = numbers({6});
    CHECK(kernels_of_linear(x, numbers({1, 7}), numbers({1})) == 1);
    CHECK(kernels_of_linear(x, weight, numbers({7}).slice(0, 1, 7)) == 1);
    CHECK(kernels_of_linear(x, weight, numbers({12}).slice(0, 0, 12, 2)) == 1);
    CHECK(kernels_of_linear(x, weight, numbers({1}).expand({6})) == 1);
    CHECK(kernels_of_linear(numbers({5, 14}).slice(1, 0, 14, 2), weight, bias) == 1);  // mnemo's own kernel
    const Array batch = numbers({2, 5, 7}), matrices = numbers({2, 7, 6});
    Array y;
    CHECK(kernels_of([&] { y = matmul(batch, matrices, bias); }) == 1);
    for (int i = 0; i < 2; ++i)
      check_product(y.slice(0, i, i + 1), batch.slice(0, i, i + 1),
                    matrices.slice(0, i, i + 1).squeeze(0).transpose(0, 1), bias);
  }
}

TEST_CASE("cuda: bias: a library that fails is asked again, then does without the bias, then nothing") {
  const Device device = Device::open("cuda");
  Source numbers(device, DType::float32);
  const Array bias = numbers({9}), weight = numbers({9, 4}), x = numbers({3, 4}), more = numbers({8, 4});
  emulator::fail_products(1);
  CHECK(kernels_of_linear(x, weight, bias) == 0);
  emulator::fail_products(2);
  CHECK(kernels_of_linear(x, weight, bias) == 1);  // spreads the bias
  CHECK(kernels_of_linear(x, weight, bias) == 1);  // and from now on
  emulator::fail_products(4);
  CHECK(kernels_of_linear(more, weight, bias) == 3);  // spreads it for each try, then mnemo's own kernel
  CHECK(kernels_of_linear(more, weight, bias) == 1);  // mnemo's own kernel from now on
  emulator::fail_products(0);
  CHECK(kernels_of_linear(numbers({2, 4}), weight, bias) == 0);
}
