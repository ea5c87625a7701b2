// softmax and cross entropy on the device "cuda" against float64: lines that fit registers and lines that do not,
// values at the ends of a type's range, infinities and NaN, and losses that are next to nothing.
#include <doctest/doctest.h>

#include <core/numbers.h>
#include <cuda_device.h>

#include <mnemo/core/backend.h>

using namespace mnemo;
using namespace numbers;

namespace {

Array there(const Array& array) { return array.to(*cuda_device()); }
std::vector<double> here(const Array& array) { return array.to(Device("cpu")).values<double>(); }
DType wide(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// Lines of `size`, one after the other.
struct Rows {
  std::int64_t count, size;
  std::vector<double> values;
  std::vector<double> tops, log_sums;  ///< of each row the largest, and the logarithm of the sum relative to it

  Rows(const Array& x, std::int64_t row_size)
      : count(x.numel() / row_size), size(row_size), values(x.values<double>()) {
    for (std::int64_t row = 0; row < count; ++row) {
      double top = -std::numeric_limits<double>::infinity();
      long double others = 0;  // more digits than any device has
      std::int64_t first = 0;
      for (std::int64_t i = 0; i < size; ++i) {
        if (at(row, i) > top) top = at(row, i), first = i;
      }
      for (std::int64_t i = 0; i < size; ++i) {
        if (i != first) others += std::exp(static_cast<long double>(at(row, i) - top));
      }
      // An infinity at the top, or a NaN: everything is NaN.
      tops.push_back(top), log_sums.push_back(std::isinf(top) ? std::nan("") : static_cast<double>(std::log1p(others)));
    }
  }
  double at(std::int64_t row, std::int64_t i) const { return values[static_cast<std::size_t>(row * size + i)]; }
  double logarithm(std::int64_t row, std::int64_t i) const {
    const auto r = static_cast<std::size_t>(row);
    return at(row, i) - tops[r] - log_sums[r];
  }
};

void check(const Array& x, std::int64_t size) {
  const DType dtype = x.dtype();
  const Rows rows(x, size);
  const double step = rounding(dtype), computed = rounding(wide(dtype));
  const Array on_device = there(x);
  Backend& backend = on_device.device().backend();
  for (const bool logarithm : {false, true}) {
    CAPTURE(logarithm);
    const Array y = there(unwritten(x.shape(), dtype));
    backend.softmax({rows.count, size, 1, logarithm}, on_device, y);
    const std::vector<double> found = here(y);
    int wrong = 0;
    for (std::int64_t row = 0; row < rows.count; ++row) {
      for (std::int64_t i = 0; i < size; ++i) {
        const double exact = rows.logarithm(row, i), expected = logarithm ? exact : std::exp(exact);
        const double value = found[static_cast<std::size_t>(row * size + i)];
        if ((std::isnan(expected) && std::isnan(value)) || value == expected) continue;
        // A distance is rounded before its power is taken: what is nearly 0 is right but for a share of the distance.
        const double slack = logarithm ? 4 * computed * (1 + std::abs(exact))
                                       : 4 * computed * expected * (8 + std::abs(exact)) + smallest_step(dtype);
        if (!(std::abs(value - expected) <= 1.01 * step * std::abs(expected) + slack)) ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
  CrossEntropyCall call;
  call.outer = rows.count, call.classes = size;
  std::vector<std::int64_t> classes;
  for (std::int64_t row = 0; row < rows.count; ++row) classes.push_back((row * 7919 + row / 2) % size);
  const Array targets = there(Array::from<std::int64_t>(classes, {rows.count, 1}, "cpu"));
  const Array losses = there(unwritten({rows.count, 1}, wide(dtype)));
  const Array ones = there(Array::from<double>(std::vector<double>(classes.size(), 1), {rows.count, 1}, "cpu"));
  const Array gradient = there(unwritten(x.shape(), dtype));
  backend.cross_entropy(call, on_device, targets, losses);
  backend.cross_entropy_gradient(call, ones.to(wide(dtype)), on_device, targets, gradient);
  const std::vector<double> found = here(losses), slopes = here(gradient);
  int wrong = 0;
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const auto r = static_cast<std::size_t>(row);
    const double expected = -rows.logarithm(row, classes[r]);
    const bool same = (std::isnan(expected) && std::isnan(found[r])) || found[r] == expected ||
                      std::abs(found[r] - expected) <= 8 * computed * (std::abs(expected) + std::abs(rows.log_sums[r]));
    if (!same) ++wrong;
    for (std::int64_t i = 0; i < size; ++i) {
      const double slope = std::exp(rows.logarithm(row, i)) - (i == classes[r] ? 1 : 0);
      const double value = slopes[static_cast<std::size_t>(row * size + i)];
      if (std::isnan(slope) && std::isnan(value)) continue;
      if (!(std::abs(value - slope) <= 1.01 * step * std::abs(slope) + 64 * computed)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("cuda: softmax and cross entropy against float64, lines of all the ways that kernels take them") {
  if (!cuda_device()) return;
  Generator random(21);
  for (const std::int64_t size : {8, 31, 256, 520, 1000, 1024, 1032, 2047, 4096, 4104, 8192, 8200, 9001, 20000}) {
    CAPTURE(size);
    const std::int64_t rows = size < 1000 ? 5 : 2;
    for (const DType dtype : kFloating) {
      if (size > 8192 && dtype == DType::float64) continue;
      CAPTURE(std::string(name(dtype)));
      check(random.array({rows, size, 1}, dtype, -10, 10), size);
    }
  }
  check(random.array({34000, 64, 1}, DType::bfloat16, -4, 4), 64);  // so many that a warp takes a few after each other
}

TEST_CASE("cuda: softmax of rows of which the first elements count, whatever the others are") {
  if (!cuda_device()) return;
  Generator random(23);
  for (const std::int64_t size : {1, 5, 31, 64, 256, 520, 1032, 4104, 8200, 9001}) {
    CAPTURE(size);
    for (const DType dtype : kFloating) {
      CAPTURE(std::string(name(dtype)));
      const std::int64_t count = size < 1000 ? 70 : 5, rows = size < 1000 ? 35 : 5, first = size < 1000 ? 0 : size - 3;
      std::vector<double> values = random.array({count, size}, dtype, -10, 10).values<double>(), expected;
      for (std::int64_t row = 0; row < count; ++row) {
        const std::int64_t counted = std::min(size, first + row % rows + 1);
        double top = -1e300, sum = 0;
        for (std::int64_t i = 0; i < size; ++i) {
          double& value = values[static_cast<std::size_t>(row * size + i)];
          if (i >= counted) value = i % 2 == 0 ? std::nan("") : std::numeric_limits<double>::infinity();
          if (i < counted) top = std::max(top, value);
        }
        for (std::int64_t i = 0; i < counted; ++i)
          sum += std::exp(values[static_cast<std::size_t>(row * size + i)] - top);
        for (std::int64_t i = 0; i < size; ++i) {
          const double value = values[static_cast<std::size_t>(row * size + i)];
          expected.push_back(i < counted ? std::exp(value - top) / sum : 0);
        }
      }
      const Array x = there(Array::from<double>(values, {count, size, 1}, "cpu").to(dtype));
      const Array y = there(unwritten({count, size, 1}, dtype));
      SoftmaxCall call{count, size, 1, false};
      call.rows = rows, call.first = first;
      x.device().backend().softmax(call, x, y);
      const std::vector<double> found = here(y);
      int wrong = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const double slack = 128 * rounding(wide(dtype)) * expected[i] + smallest_step(dtype);
        const bool right = expected[i] == 0
                               ? found[i] == 0
                               : std::abs(found[i] - expected[i]) <= 1.01 * rounding(dtype) * expected[i] + slack;
        if (!right) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("cuda: softmax and cross entropy of values at the ends, of infinities and of NaN") {
  if (!cuda_device()) return;
  Generator random(22);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : kFloating) {
    CAPTURE(std::string(name(dtype)));
    for (const std::int64_t size : {7, 64, 1500, 10000}) {
      if (size == 10000 && dtype == DType::float64) continue;
      CAPTURE(size);
      const auto last = static_cast<std::size_t>(size - 1), row = static_cast<std::size_t>(size);
      std::vector<double> x = random.array({8, size, 1}, DType::float64).values<double>();
      const auto fill = [&](std::size_t r, double value) {
        std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(r * row), size, value);
      };
      for (std::size_t i = 0; i < row; ++i) x[i] *= 30000;  // of which one counts
      fill(1, 60000);                                       // all alike
      fill(2, -kInfinity), x[2 * row + last] = -5;          // all but one left out
      x[3 * row + last / 2] = -kInfinity;
      fill(4, -kInfinity);         // all left out: NaN
      x[5 * row + 1] = kInfinity;  // NaN
      x[6 * row + last] = std::nan("");
      // Nothing but the largest, and so little beside it that 1 would swallow it.
      fill(7, -30), x[7 * row + last] = 0;
      const Array array = Array::from<double>(x, {8, size, 1}, "cpu").to(dtype);
      Rows rows(array, size);
      CHECK(std::isnan(rows.log_sums[4]));
      check(array, size);
    }
  }
}

TEST_CASE(
    "cuda: cross entropy with weights of classes, smoothed or not, lines of all the ways that kernels take them") {
  if (!cuda_device()) return;
  Generator random(24);
  for (const std::int64_t size : {8, 31, 256, 1000, 1032, 4104, 8200, 9001}) {
    for (const DType dtype : kFloating) {
      for (const double smoothing : {0.0, 0.3}) {
        CAPTURE(size);
        CAPTURE(std::string(name(dtype)));
        CAPTURE(smoothing);
        const Array x = random.array({3, size, 1}, dtype, -10, 10);
        const Array weight = random.array({size}, wide(dtype), 0, 2);
        const std::vector<double> weights = weight.values<double>();
        const std::int64_t classes[] = {size - 1, 2, size / 2};  // the second one is ignored
        const Array targets = there(Array::from<std::int64_t>({classes[0], 2, classes[2]}, {3, 1}, "cpu"));
        CrossEntropyCall call{.outer = 3, .classes = size, .label_smoothing = smoothing, .ignore_index = 2, .scale = 2};
        double sum = 0;
        for (const double w : weights) sum += w;
        call.weight = there(weight), call.target_weights = there(unwritten({3, 1}, wide(dtype)));
        call.weight_sum = there(Array::from<double>({sum}, {1}, "cpu").to(wide(dtype)));
        const Array losses = there(unwritten({3, 1}, wide(dtype))), slopes = there(unwritten(x.shape(), dtype));
        const Array one = there(Array::from<double>({1}, {1}, "cpu").to(wide(dtype))), logits = there(x);
        logits.device().backend().cross_entropy(call, logits, targets, losses);
        logits.device().backend().cross_entropy_gradient(call, one, logits, targets, slopes);

        const Rows rows(x, size);
        std::vector<double> expected(3), counted(3), slope(static_cast<std::size_t>(3 * size));
        for (std::int64_t row = 0; row < 3; ++row) {
          const auto r = static_cast<std::size_t>(row);
          if (row == 1) continue;
          const auto asked = [&](std::int64_t c) {
            const double share = smoothing / static_cast<double>(size) + (c == classes[r] ? 1 - smoothing : 0);
            return share * weights[static_cast<std::size_t>(c)];
          };
          double all = 0;
          for (std::int64_t c = 0; c < size; ++c) all += asked(c), expected[r] -= asked(c) * rows.logarithm(row, c);
          for (std::int64_t c = 0; c < size; ++c)
            slope[static_cast<std::size_t>(row * size + c)] = 2 * (all * std::exp(rows.logarithm(row, c)) - asked(c));
          counted[r] = weights[static_cast<std::size_t>(classes[r])];
        }
        CHECK(here(call.target_weights) == counted);
        CHECK(error_of(losses.to(Device("cpu")), expected, {60, 60, 60}) <= 1);
        CHECK(error_of(slopes.to(Device("cpu")), slope, std::vector<double>(slope.size(), 8)) <= 1);
      }
    }
  }
}
