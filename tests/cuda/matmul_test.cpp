// Matrix products on the device "cuda" against those of the CPU in float64: every way for operands to lie in memory.
#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/families.h>

#include "core/numbers.h"
#include "cuda_device.h"

using namespace mnemo;
using namespace numbers;

namespace {

enum Kind : std::int64_t { by_rows, by_columns, part_of_rows, strided, repeated, row_repeated, kinds };

/// A (batch, rows, columns) array of the device, and the same elements on the CPU.
struct Matrices {
  Array there, here;

  Matrices(Generator& random, std::int64_t batch, std::int64_t rows, std::int64_t columns, DType dtype,
           std::int64_t kind) {
    const auto make = [&](const Shape& shape) { return random.array(shape, dtype).to(*cuda_device()); };
    switch (kind) {
      case by_rows:
        there = make({batch, rows, columns});
        break;
      case by_columns:
        there = make({batch, columns, rows}).permute({0, 2, 1});
        break;
      case part_of_rows:
        there = make({batch, rows, columns + 3}).slice(2, 1, columns + 1);
        break;
      case strided:
        there =
            make({rows, batch + 1, 3 * columns}).slice(1, 1, batch + 1).slice(2, 0, 3 * columns, 3).permute({1, 0, 2});
        break;
      case repeated:
        there = make({1, rows, columns}).expand({batch, rows, columns});
        break;
      default:
        there = make({batch, 1, columns}).expand({batch, rows, columns});
    }
    here = there.contiguous().to("cpu").to(DType::float64);
  }
};

/// A number for each column: none, side by side, not aligned, or with gaps.
Array column_bias(Generator& random, std::int64_t columns, DType dtype, std::int64_t kind) {
  const auto make = [&](std::int64_t size) { return random.array({size}, dtype).to(*cuda_device()); };
  switch (kind) {
    case 0:
      return {};
    case 1:
      return make(columns);
    case 2:
      return make(columns + 1).slice(0, 1, columns + 1);
    default:
      return make(2 * columns).slice(0, 0, 2 * columns, 2);
  }
}

void check(Generator& random, std::int64_t batch, std::int64_t rows, std::int64_t depth, std::int64_t columns,
           DType dtype) {
  const std::int64_t a_kind = random.integer(0, kinds - 1), b_kind = random.integer(0, kinds - 1);
  const bool accumulate = random.integer(0, 1) == 1, out_by_columns = random.integer(0, 3) == 0;
  const bool with_workspace = random.integer(0, 1) == 1;
  const std::int64_t bias_kind = accumulate ? 0 : random.integer(0, 3);
  const double scales[] = {1, 0.375, -2.5}, scale = random.one_of(scales);
  const std::string product = std::to_string(batch) + " x (" + std::to_string(rows) + ", " + std::to_string(depth) +
                              ") kind " + std::to_string(a_kind) + " * (" + std::to_string(depth) + ", " +
                              std::to_string(columns) + ") kind " + std::to_string(b_kind) + " " + name(dtype);
  CAPTURE(product);
  CAPTURE(accumulate);
  CAPTURE(out_by_columns);
  CAPTURE(bias_kind);
  CAPTURE(scale);
  const Matrices a(random, batch, rows, depth, dtype, a_kind), b(random, batch, depth, columns, dtype, b_kind);
  const Matrices before(random, batch, rows, columns, dtype, out_by_columns ? by_columns : by_rows);
  const Array out = before.there;
  if (!accumulate) fill(out, std::nan(""));
  const Array bias = column_bias(random, columns, dtype, bias_kind);
  Array workspace;
  if (with_workspace) workspace = Array({1 << 20}, DType::uint8, *cuda_device());
  cuda_device()->backend().matmul({.a = a.there,
                                   .b = b.there,
                                   .out = out,
                                   .accumulate = accumulate,
                                   .scale = scale,
                                   .bias = bias,
                                   .workspace = workspace});

  // What is computed, and what is added up, in float64.
  const auto reference = [&](const auto& f) {
    const Array result = full({batch, rows, columns}, 0, DType::float64);
    Device("cpu").backend().matmul({.a = f(a.here), .b = f(b.here), .out = result, .accumulate = true});
    const double factor = f(full({}, scale, DType::float64)).item();
    auto values = result.values<double>();
    for (double& value : values) value *= factor;
    if (accumulate) {
      const auto numbers = f(before.here).template values<double>();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += numbers[i];
    }
    if (bias.defined()) {
      const auto numbers = f(bias.contiguous().to("cpu").to(DType::float64)).template values<double>();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += numbers[i % numbers.size()];
    }
    return values;
  };
  const auto expected = reference([](const Array& x) { return x; });
  const auto magnitudes = reference([](const Array& x) { return map(UnaryOp::abs, x); });
  CHECK(error_of(out, expected, magnitudes) <= 1);
}

}  // namespace

TEST_CASE("cuda: products of any sizes, strides and batches agree with the CPU's") {
  if (!cuda_device()) return;
  Generator random(21);
  for (int i = 0; i < 300; ++i) {
    const auto size = [&] { return random.integer(0, 12) == 0 ? random.integer(0, 1) : random.integer(1, 40); };
    check(random, random.integer(0, 4), size(), size(), size(), random.one_of(kFloating));
  }
  for (const DType dtype : kFloating) {
    check(random, 1, 150, 300, 90, dtype);
    check(random, 3, 65, 17, 130, dtype);
    check(random, 1, 1, 1000, 70, dtype);
  }
}

TEST_CASE("cuda: products with a bias, of the sizes of layers") {
  if (!cuda_device()) return;
  Generator random(22);
  const Array workspace({32 << 20}, DType::uint8, *cuda_device());
  for (const DType dtype : kFloating) {
    // Few rows and long sums, which a library cuts in parts; many rows; sizes that no vector divides.
    for (const Shape& size : {Shape{2, 4096, 64}, Shape{16, 2048, 32}, Shape{96, 256, 384}, Shape{200, 33, 7}}) {
      const std::int64_t rows = size[0], depth = size[1], columns = size[2];
      CAPTURE(std::string(name(dtype)));
      CAPTURE(rows);
      const Array x = random.array({1, rows, depth}, dtype), weight = random.array({1, columns, depth}, dtype);
      const Array bias = random.array({columns}, dtype, -8, 8);
      const Array out({1, rows, columns}, dtype, *cuda_device());
      cuda_device()->backend().matmul({.a = x.to(*cuda_device()),
                                       .b = weight.to(*cuda_device()).permute({0, 2, 1}),
                                       .out = out,
                                       .bias = bias.to(*cuda_device()),
                                       .workspace = workspace});
      const auto xs = x.values<double>(), ws = weight.values<double>(), bs = bias.values<double>();
      std::vector<double> expected, magnitudes;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < columns; ++column) {
          double sum = bs[static_cast<std::size_t>(column)], magnitude = std::abs(sum);
          for (std::int64_t k = 0; k < depth; ++k) {
            const double product =
                xs[static_cast<std::size_t>(row * depth + k)] * ws[static_cast<std::size_t>(column * depth + k)];
            sum += product, magnitude += std::abs(product);
          }
          expected.push_back(sum), magnitudes.push_back(magnitude);
        }
      }
      // Rounded once: half a unit in the last place of the result, and what is lost in sums of float32 or float64.
      CHECK(error_of(out, expected, magnitudes) <= 1);
    }
  }
}

TEST_CASE("cuda: wherever a bias is added to a product, it is rounded once, with the product") {
  if (!cuda_device()) return;
  const auto numbers = [&](const std::vector<double>& values, const Shape& shape) {
    return Array::from<double>(values, shape, "cpu").to(DType::float16).to(*cuda_device());
  };
  const Array x = numbers({2048, 1}, {1, 2}), weight = numbers({1, 1, 1, 1}, {2, 2}), gaps = numbers({1, 0, 1}, {3});
  const Array strided = numbers({2048, 0, 1, 0}, {1, 4}).slice(1, 0, 4, 2);
  // 2049 is no float16: alone it would become 2048, and with 1 more that again.
  for (const Array& bias : {numbers({1, 1}, {2}), gaps.slice(0, 0, 3, 2)}) {
    CHECK(matmul(x, weight, bias).values<double>() == std::vector<double>{2050, 2050});
    CHECK(matmul(strided, weight.expand({1, 2, 2}), bias).values<double>() == std::vector<double>{2050, 2050});
  }
  // The same as a sum of 4096 terms, which a library may cut in parts.
  std::vector<double> terms(4096, 0.5), ones(4096 * 8, 1);
  terms[0] = 1.5;  // 2049 in all
  const Array long_row = numbers(terms, {1, 4096}).expand({2, 4096}).contiguous(), matrix = numbers(ones, {4096, 8});
  CHECK(matmul(long_row, matrix, numbers(std::vector<double>(8, 1), {8})).values<double>() ==
        std::vector<double>(16, 2050));
}
