#include <doctest/doctest.h>

#include <mnemo/core/families.h>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

/// A (batch, rows, columns) array that lies in memory in one of several ways; `kind` 3 repeats one matrix.
Array matrices(Generator& random, std::int64_t batch, std::int64_t rows, std::int64_t columns, DType dtype,
               std::int64_t kind) {
  switch (kind) {
    case 0:
      return random.array({batch, rows, columns}, dtype);
    case 1:
      return random.array({batch, columns, rows}, dtype).permute({0, 2, 1});
    case 2:
      return random.array({rows, batch + 1, 3 * columns}, dtype)
          .slice(1, 1, batch + 1)
          .slice(2, 0, 3 * columns, 3)
          .permute({1, 0, 2});
    default:
      return random.array({1, rows, columns}, dtype).expand({batch, rows, columns});
  }
}

/// out += scale * a * b, one multiplication at a time; `size` adds up magnitudes.
void multiply(double scale, const Array& a, const Array& b, std::vector<double>& out, std::vector<double>& size) {
  const auto batch = static_cast<std::size_t>(a.size(0)), rows = static_cast<std::size_t>(a.size(1));
  const auto depth = static_cast<std::size_t>(a.size(2)), columns = static_cast<std::size_t>(b.size(2));
  const auto av = a.values<double>(), bv = b.values<double>();
  for (std::size_t n = 0; n < batch; ++n)
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t k = 0; k < depth; ++k) {
          const double value = scale * av[(n * rows + i) * depth + k] * bv[(n * depth + k) * columns + j];
          out[(n * rows + i) * columns + j] += value;
          size[(n * rows + i) * columns + j] += std::abs(value);
        }
}

/// A number for each column, which lies in memory in one of several ways; nothing for `kind` 0.
Array column_bias(Generator& random, std::int64_t columns, DType dtype, std::int64_t kind) {
  switch (kind) {
    case 0:
      return {};
    case 1:
      return random.array({columns}, dtype);
    case 2:
      return random.array({3 * columns + 1}, dtype).slice(0, 1, 3 * columns + 1, 3);
    default:
      return random.array({1}, dtype).expand({columns});
  }
}

void check(Generator& random, std::int64_t batch, std::int64_t rows, std::int64_t depth, std::int64_t columns,
           DType dtype) {
  const Array a = matrices(random, batch, rows, depth, dtype, random.integer(0, 3));
  const Array b = matrices(random, batch, depth, columns, dtype, random.integer(0, 3));
  const bool accumulate = random.integer(0, 1) == 1;
  const std::int64_t bias_kind = accumulate ? 0 : random.integer(0, 3);
  const double scales[] = {1, 0.375, -2.5}, scale = random.one_of(scales);
  const Array bias = column_bias(random, columns, dtype, bias_kind);
  CAPTURE(batch);
  CAPTURE(rows);
  CAPTURE(depth);
  CAPTURE(columns);
  CAPTURE(std::string(name(dtype)));
  CAPTURE(accumulate);
  CAPTURE(bias_kind);
  CAPTURE(scale);
  const Array before = random.array({batch, rows, columns}, dtype);
  auto expected = accumulate ? before.values<double>() : std::vector<double>(static_cast<std::size_t>(before.numel()));
  if (bias.defined()) {
    const auto values = bias.values<double>();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = values[i % values.size()];
  }
  auto size = expected;
  for (double& value : size) value = std::abs(value);
  multiply(scale, a, b, expected, size);
  Array results[3];
  for (int threads = 1; threads <= 3; ++threads) {
    const Threads scope(threads);
    Array& out = results[threads - 1];
    out = unwritten(before.shape(), dtype);
    if (accumulate) Device("cpu").backend().copy(before, out);
    Device("cpu").backend().matmul(
        {.a = a, .b = b, .out = out, .accumulate = accumulate, .scale = scale, .bias = bias});
  }
  CHECK(error_of(results[0], expected, size) <= 1);
  CHECK(same_bits(results[0], results[1]));
  CHECK(same_bits(results[0], results[2]));
}

}  // namespace

TEST_CASE("matmul: small products of any sizes and strides agree with the definition") {
  Generator random(1);
  for (int i = 0; i < 400; ++i) {
    auto size = [&] { return random.integer(0, 15) == 0 ? 0 : random.integer(1, 40); };
    check(random, random.integer(0, 4), size(), size(), size(), random.one_of(kFloating));
  }
}

TEST_CASE("matmul: products of several tiles, with the same bits on any number of threads") {
  Generator random(2);
  for (const DType dtype : kFloating) {
    check(random, 1, 150, 400, 300, dtype);
    check(random, 2, 33, 193, 257, dtype);
    check(random, 1, 1, 1000, 700, dtype);
    check(random, 1, 700, 500, 1, dtype);
    check(random, 3, 129, 17, 513, dtype);
  }
}

TEST_CASE("matmul: one NaN or infinity reaches its row alone") {
  std::vector<double> values(20 * 30, 1);
  values[3 * 30 + 4] = std::numeric_limits<double>::quiet_NaN();
  const Array a = Array::from<double>(values, {1, 20, 30}, "cpu").to(DType::float32);
  const Array b = Array::from<double>(std::vector<double>(30 * 25, 1), {1, 30, 25}, "cpu").to(DType::float32);
  const Array out = unwritten({1, 20, 25}, DType::float32);
  Device("cpu").backend().matmul({.a = a, .b = b, .out = out});
  const auto result = out.values<double>();
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (i / 25 == 3)
      CHECK(std::isnan(result[i]));
    else
      CHECK(result[i] == 30);
  }
}

TEST_CASE("matmul: a product is scaled before it is rounded") {
  // 300 * 300 is more than float16 has.
  const Array a = Array::from<double>({300}, {1, 1, 1}, "cpu").to(DType::float16),
              out = unwritten(a.shape(), a.dtype());
  matmul_into(a, a, out, false, 0.125);
  CHECK(out.item() == 11248);  // 11250, to a multiple of 8
}

TEST_CASE("matmul: a product and its bias are rounded once, together") {
  // 2049 is no float16: alone it would become 2048, and with 1 more that again.
  const auto numbers = [](const std::vector<double>& values, const Shape& shape) {
    return Array::from<double>(values, shape, "cpu").to(DType::float16);
  };
  const Array product = matmul(numbers({2048, 1}, {1, 2}), numbers({1, 2, 1, 1}, {2, 2}), numbers({1, 0.5}, {2}));
  CHECK(product.values<double>() == std::vector<double>{2050, 4096});
}
