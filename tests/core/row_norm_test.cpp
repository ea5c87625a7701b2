// row_norm and its gradients on the CPU against the definition, in long double.
#include <doctest/doctest.h>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

DType wide(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// `groups` rows for each sample of `batch`, of `channels` channels with `inner` elements each.
RowNormSizes sizes_of(std::int64_t batch, std::int64_t groups, std::int64_t channels, std::int64_t inner) {
  return {.rows = batch * groups, .features = channels / groups * inner, .channels = channels, .inner = inner};
}

std::vector<double> values_of(const Array& array, std::int64_t count, double otherwise) {
  return array.defined() ? array.values<double>() : std::vector<double>(static_cast<std::size_t>(count), otherwise);
}

/// Both directions of some elements, of x around `center`.
class Rows {
 public:
  Rows(const RowNormSizes& sizes, DType dtype, DType numbers, double center, Generator& random)
      : dtype_(dtype), numbers_(numbers) {
    forward_.sizes = sizes, forward_.epsilon = 1e-3;
    const Shape full{sizes.rows, sizes.features}, of_rows{sizes.rows}, of_channels{sizes.channels};
    forward_.x = random.array(full, dtype, center - 1, center + 1);
    forward_.weight = random.array(of_channels, numbers), forward_.bias = random.array(of_channels, numbers);
    grad_ = random.array(full, dtype, -1, 2);  // whose sums do not vanish
    forward_.y = unwritten(full, dtype);
    forward_.mean = unwritten(of_rows, wide(dtype)), forward_.inverse_deviation = unwritten(of_rows, wide(dtype));
  }
  void leave_out_weight() { forward_.weight = {}; }
  void leave_out_bias() { forward_.bias = {}; }
  void leave_out_means() { forward_.mean = {}, forward_.centered = false; }
  Array x() const { return forward_.x; }

  void run() { Device("cpu").backend().row_norm(forward_); }
  /// Those that are wanted, in dtypes of their own.
  RowNormGradientCall gradient(bool dx, bool dweight, bool dbias) const {
    const Shape of_channels{forward_.sizes.channels};
    RowNormGradientCall call{forward_.sizes, grad_, {}, {}, {}, {}, {}};
    call.centered = forward_.centered;
    if (dx) call.dx = unwritten(grad_.shape(), dtype_), call.weight = forward_.weight;
    if (dweight) call.dweight = unwritten(of_channels, numbers_);
    if (dbias) call.dbias = unwritten(of_channels, numbers_);
    if (dx || dweight) {
      call.x = forward_.x;
      call.mean = forward_.mean, call.inverse_deviation = forward_.inverse_deviation;
    }
    Device("cpu").backend().row_norm_gradient(call);
    return call;
  }

  void check() {
    run();
    const RowNormGradientCall back = gradient(true, true, true);
    const RowNormSizes& sizes = forward_.sizes;
    const std::vector<double> x = forward_.x.values<double>(), grad = grad_.values<double>();
    const auto weight = values_of(forward_.weight, sizes.channels, 1),
               bias = values_of(forward_.bias, sizes.channels, 0);
    const auto means = values_of(forward_.mean, sizes.rows, 0), inverses = forward_.inverse_deviation.values<double>();
    const long double centered = forward_.centered ? 1 : 0;
    std::vector<double> y, dx, y_size, dx_size;
    std::vector<long double> dweight(weight.size()), dbias(weight.size()), weight_size(weight.size());
    const double rounded = rounding(wide(dtype_));
    for (std::int64_t row = 0; row < sizes.rows; ++row) {
      const auto begin = static_cast<std::size_t>(row * sizes.features),
                 count = static_cast<std::size_t>(sizes.features);
      const auto channel = [&](std::size_t i) {
        return static_cast<std::size_t>(sizes.features == sizes.channels * sizes.inner
                                            ? 0
                                            : row * (sizes.features / sizes.inner) % sizes.channels) +
               i / static_cast<std::size_t>(sizes.inner);
      };
      long double mean = 0, variance = 0;
      for (std::size_t i = 0; i < count; ++i) mean += centered * x[begin + i] / static_cast<long double>(count);
      for (std::size_t i = 0; i < count; ++i)
        variance += (x[begin + i] - mean) * (x[begin + i] - mean) / static_cast<long double>(count);
      const auto at = static_cast<std::size_t>(row);
      const auto inverse = 1 / std::sqrt(static_cast<double>(variance) + forward_.epsilon);
      CHECK(std::abs(means[at] - static_cast<double>(mean)) <=
            2 * rounded * std::abs(static_cast<double>(mean)) + 2 * rounded);
      CHECK(std::abs(inverses[at] / inverse - 1) <= 16 * rounded);
      // From here on with what is kept of the row: it is rounded.
      const long double m = means[at], s = inverses[at];
      long double sum = 0, product = 0, sum_size = 0, product_size = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const long double distance = x[begin + i] - m, g = grad[begin + i], gw = g * weight[channel(i)];
        y.push_back(static_cast<double>(distance * s * weight[channel(i)] + bias[channel(i)]));
        y_size.push_back(1 + std::abs(y.back()));
        sum += centered * gw, product += gw * distance;
        sum_size += centered * std::abs(gw), product_size += std::abs(gw * distance);
        dweight[channel(i)] += g * distance * s, dbias[channel(i)] += g;
        weight_size[channel(i)] += std::abs(g * distance * s);
      }
      for (std::size_t i = 0; i < count; ++i) {
        const long double distance = x[begin + i] - m, gw = grad[begin + i] * weight[channel(i)], n = count;
        dx.push_back(static_cast<double>(s * (gw - sum / n - distance * s * s * product / n)));
        dx_size.push_back(
            static_cast<double>(s * (std::abs(gw) + sum_size / n + std::abs(distance) * s * s * product_size / n)));
      }
    }
    CHECK(error_of(forward_.y, y, y_size) <= 1);
    CHECK(error_of(back.dx, dx, dx_size) <= 1);
    const auto of_weight = back.dweight.values<double>(), of_bias = back.dbias.values<double>();
    for (std::size_t c = 0; c < weight.size(); ++c) {
      CAPTURE(c);
      const auto w = static_cast<double>(dweight[c]), b = static_cast<double>(dbias[c]);
      CHECK(std::abs(of_weight[c] - w) <=
            rounding(numbers_) * 1.01 * std::abs(w) + 8 * rounded * static_cast<double>(weight_size[c]));
      CHECK(std::abs(of_bias[c] - b) <=
            rounding(numbers_) * 1.01 * std::abs(b) + 8 * rounded * 2 * static_cast<double>(sizes.rows * sizes.inner));
    }
  }

 private:
  DType dtype_, numbers_;
  RowNormCall forward_;
  Array grad_;
};

void capture_and_check(const RowNormSizes& sizes, DType dtype, DType numbers, double center, Generator& random) {
  CAPTURE(sizes.rows);
  CAPTURE(sizes.features);
  CAPTURE(sizes.channels);
  CAPTURE(sizes.inner);
  CAPTURE(std::string(name(dtype)));
  CAPTURE(std::string(name(numbers)));
  CAPTURE(center);
  Rows rows(sizes, dtype, numbers, center, random);
  if (random.integer(0, 3) == 0) rows.leave_out_weight(), rows.leave_out_bias();
  if (random.integer(0, 3) == 0) rows.leave_out_bias();
  rows.check();
  rows.leave_out_means();
  rows.check();
}

}  // namespace

TEST_CASE("row_norm: forward and gradients agree with the definition, of no, one and many rows") {
  Generator random(1);
  for (const DType dtype : kFloating) {
    const double far = is_half(dtype) ? 30 : 1e4;
    for (const DType numbers : {dtype, wide(dtype)}) {
      for (const std::int64_t features : {1, 2, 9, 31, 33, 64, 255, 257, 530})
        capture_and_check(sizes_of(random.integer(1, 9), 1, features, 1), dtype, numbers, 0.5, random);
      capture_and_check(sizes_of(1, 1, 300, 1), dtype, numbers, far, random);
      capture_and_check(sizes_of(300, 1, 40, 1), dtype, numbers, -far, random);  // ten pieces of rows
      capture_and_check(sizes_of(0, 1, 5, 1), dtype, numbers, 0, random);
      capture_and_check(sizes_of(40, 3, 12, 1), dtype, numbers, far, random);
      for (const std::int64_t inner : {2, 5, 31, 70, 600})
        capture_and_check(sizes_of(random.integer(1, 40), 2, 6, inner), dtype, numbers, far, random);
      capture_and_check(sizes_of(100, 1, 3, 4), dtype, numbers, 0.5, random);
      capture_and_check(sizes_of(0, 2, 4, 3), dtype, numbers, 0, random);
    }
  }
  // Few and long rows, whose columns are shared out among threads.
  capture_and_check(sizes_of(11, 1, 40001, 1), DType::float32, DType::float32, 100, random);
  capture_and_check(sizes_of(3, 2, 70002, 1), DType::bfloat16, DType::float32, 1, random);
}

TEST_CASE("row_norm: without elements the gradients of weight and bias are 0") {
  Generator random(2);
  Rows rows(sizes_of(0, 1, 3, 1), DType::float32, DType::float32, 0, random);
  const RowNormGradientCall back = rows.gradient(false, true, true);
  CHECK(back.dweight.values<float>() == std::vector<float>(3, 0.0F));
  CHECK(back.dbias.values<float>() == std::vector<float>(3, 0.0F));
}

TEST_CASE("row_norm: gradients are the same bits for any threads, in whatever memory, and whichever are wanted") {
  Generator random(3);
  for (const RowNormSizes& sizes : {sizes_of(300, 1, 500, 1), sizes_of(90, 4, 24, 1), sizes_of(70, 2, 6, 333),
                                    sizes_of(5, 1, 33000, 1), sizes_of(9, 1, 3, 7)}) {
    for (const DType dtype : kFloating) {
      CAPTURE(sizes.features);
      CAPTURE(std::string(name(dtype)));
      Rows rows(sizes, dtype, wide(dtype), 0.5, random);
      rows.run();
      const RowNormGradientCall all = rows.gradient(true, true, true);
      for (const int threads : {1, 2, 3}) {
        const Threads scope(threads);
        const RowNormGradientCall again = rows.gradient(true, true, true);
        CHECK(same_bits(again.dx, all.dx));
        CHECK(same_bits(again.dweight, all.dweight));
        CHECK(same_bits(again.dbias, all.dbias));
      }
      CHECK(same_bits(rows.gradient(true, false, false).dx, all.dx));
      CHECK(same_bits(rows.gradient(true, true, false).dweight, all.dweight));
      CHECK(same_bits(rows.gradient(false, true, false).dweight, all.dweight));
      CHECK(same_bits(rows.gradient(true, false, true).dbias, all.dbias));
      CHECK(same_bits(rows.gradient(false, false, true).dbias, all.dbias));
      RowNormGradientCall in_place = all;
      in_place.grad = in_place.dx = unwritten(all.grad.shape(), dtype);
      Device("cpu").backend().copy(all.grad, in_place.grad);
      in_place.dweight = unwritten(all.dweight.shape(), wide(dtype));
      in_place.dbias = unwritten(all.dbias.shape(), wide(dtype));
      Device("cpu").backend().row_norm_gradient(in_place);
      CHECK(same_bits(in_place.dx, all.dx));
      CHECK(same_bits(in_place.dweight, all.dweight));
      CHECK(same_bits(in_place.dbias, all.dbias));
    }
  }
}

TEST_CASE("row_norm: of float32 values whose squares are no floats, and where the first lies far outside") {
  const auto normalized = [](const std::vector<float>& values) {
    RowNormCall call;
    call.sizes = {.rows = 1, .features = 4, .channels = 4};
    call.epsilon = 0;
    call.x = Array::from(values, {1, 4}, "cpu");
    call.y = unwritten({1, 4}, DType::float32);
    call.mean = unwritten({1}, DType::float32), call.inverse_deviation = unwritten({1}, DType::float32);
    Device("cpu").backend().row_norm(call);
    return call.y.values<double>();
  };
  // -1, 1, -1, 1 about their mean, times any scale
  for (const float scale : {1e30F, 1e20F, 1.0F, 1e-15F, 1e-30F}) {
    CAPTURE(scale);
    const std::vector<double> y = normalized({2 * scale, 4 * scale, 2 * scale, 4 * scale});
    for (std::size_t i = 0; i < 4; ++i) CHECK(y[i] == doctest::Approx(i % 2 == 0 ? -1 : 1).epsilon(1e-6));
  }
  // 0 and n times 1, n = 4095: mean n / (n + 1), variance n / (n + 1)^2, so that the first is -sqrt(n) = -63.99...
  // and the others 1 / sqrt(n).
  RowNormCall call;
  call.sizes = {.rows = 1, .features = 4096, .channels = 4096};
  call.epsilon = 0;
  std::vector<float> values(4096, 1000001.0F);
  values[0] = 1000000.0F;
  call.x = Array::from(values, {1, 4096}, "cpu");
  call.y = unwritten({1, 4096}, DType::float32);
  call.mean = unwritten({1}, DType::float32), call.inverse_deviation = unwritten({1}, DType::float32);
  Device("cpu").backend().row_norm(call);
  CHECK(call.inverse_deviation.values<double>()[0] == doctest::Approx(4096 / std::sqrt(4095)).epsilon(1e-6));
}
