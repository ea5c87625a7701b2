#include <doctest/doctest.h>

#include <numeric>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

DType statistics_dtype(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

struct Case {
  std::int64_t batch, channels, inner;
  DType dtype;
  bool training;
  bool affine;
  DType parameters;

  /// Elements of one channel out of (N, C, inner).
  std::vector<double> channel(const std::vector<double>& all, std::int64_t c) const {
    std::vector<double> result;
    for (std::int64_t n = 0; n < batch; ++n)
      for (std::int64_t i = 0; i < inner; ++i)
        result.push_back(all[static_cast<std::size_t>((n * channels + c) * inner + i)]);
    return result;
  }
};

void check(const Case& k, Generator& random, double center) {
  CAPTURE(k.batch);
  CAPTURE(k.channels);
  CAPTURE(k.inner);
  CAPTURE(std::string(name(k.dtype)));
  CAPTURE(k.training);
  CAPTURE(k.affine);
  Backend& backend = Device("cpu").backend();
  const DType statistics = statistics_dtype(k.dtype);
  const Shape full{k.batch, k.channels, k.inner}, per_channel{k.channels};
  NormalizeCall call;
  call.batch = k.batch, call.channels = k.channels, call.inner = k.inner, call.training = k.training;
  call.epsilon = 1e-3, call.momentum = 0.3;
  call.x = random.array(full, k.dtype, center - 1, center + 1);
  if (k.affine)
    call.weight = random.array(per_channel, k.parameters), call.bias = random.array(per_channel, k.parameters);
  call.running_mean = random.array(per_channel, statistics);
  call.running_variance = random.array(per_channel, statistics, 0.5, 2);
  const auto mean_before = call.running_mean.values<double>(), variance_before = call.running_variance.values<double>();
  call.y = unwritten(full, k.dtype);
  call.mean = unwritten(per_channel, statistics);
  call.inverse_deviation = unwritten(per_channel, statistics);
  backend.normalize(call);

  NormalizeGradientCall back;
  back.batch = k.batch, back.channels = k.channels, back.inner = k.inner, back.training = k.training;
  back.grad = random.array(full, k.dtype);
  back.x = call.x, back.weight = call.weight, back.mean = call.mean, back.inverse_deviation = call.inverse_deviation;
  back.dx = unwritten(full, k.dtype);
  back.dweight = unwritten(per_channel, k.parameters), back.dbias = unwritten(per_channel, k.parameters);
  backend.normalize_gradient(back);

  const auto x = call.x.values<double>(), grad = back.grad.values<double>();
  const auto weight =
      k.affine ? call.weight.values<double>() : std::vector<double>(static_cast<std::size_t>(k.channels), 1);
  const auto bias =
      k.affine ? call.bias.values<double>() : std::vector<double>(static_cast<std::size_t>(k.channels), 0);
  const auto y = call.y.values<double>(), dx = back.dx.values<double>();
  const double eps = rounding(k.dtype), wide = rounding(statistics);
  for (std::int64_t c = 0; c < k.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const auto xc = k.channel(x, c), gc = k.channel(grad, c), yc = k.channel(y, c), dxc = k.channel(dx, c);
    const auto count = static_cast<double>(xc.size());
    double mean = mean_before[at], variance = variance_before[at];
    if (k.training) {
      mean = mean_of(xc);
      variance = 0;
      for (const double value : xc) variance += (value - mean) * (value - mean) / count;
      const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
      CHECK(call.running_mean.values<double>()[at] ==
            doctest::Approx(0.7 * mean_before[at] + 0.3 * mean).epsilon(1e-6));
      CHECK(call.running_variance.values<double>()[at] ==
            doctest::Approx(0.7 * variance_before[at] + 0.3 * unbiased).epsilon(1e-6));
    } else {
      CHECK(call.running_mean.values<double>()[at] == mean_before[at]);
    }
    const double inverse = 1 / std::sqrt(variance + call.epsilon);
    CHECK(call.mean.values<double>()[at] == doctest::Approx(mean).epsilon(1e-6));
    CHECK(call.inverse_deviation.values<double>()[at] == doctest::Approx(inverse).epsilon(1e-6));
    // The mean is rounded to the type of the statistics before it is subtracted.
    const double slack = 8 * wide * (1 + std::abs(center)) * inverse * (1 + inverse);
    double sum_g = 0, sum_gx = 0;
    for (std::size_t i = 0; i < xc.size(); ++i) {
      sum_g += gc[i];
      sum_gx += gc[i] * (xc[i] - mean) * inverse;
    }
    for (std::size_t i = 0; i < xc.size(); ++i) {
      const double normal = (xc[i] - mean) * inverse;
      const double expected = normal * weight[at] + bias[at];
      CHECK(std::abs(yc[i] - expected) <= eps * std::abs(expected) * 1.01 + slack);
      const double gradient =
          weight[at] * inverse * (k.training ? gc[i] - sum_g / count - normal * sum_gx / count : gc[i]);
      CHECK(std::abs(dxc[i] - gradient) <= eps * std::abs(gradient) * 1.01 + 4 * slack);
    }
    const double parameter = rounding(k.parameters) * 1.01;
    CHECK(std::abs(back.dbias.values<double>()[at] - sum_g) <= parameter * std::abs(sum_g) + 1e-12 * count);
    CHECK(std::abs(back.dweight.values<double>()[at] - sum_gx) <= parameter * std::abs(sum_gx) + slack * count);
  }
}

}  // namespace

TEST_CASE("normalize: forward and gradient agree with the definition") {
  Generator random(1);
  for (int i = 0; i < 200; ++i) {
    const DType dtype = random.one_of(kFloating);
    Case k{random.integer(1, 5), random.integer(0, 7), random.integer(1, 60),  dtype,
           i % 2 == 0,           i % 3 != 0,           statistics_dtype(dtype)};
    if (is_half(dtype) && i % 4 == 0) k.parameters = dtype;  // pure half models
    if (i == 0) k.batch = k.inner = 1;                       // the variance of one element is 0
    check(k, random, dtype == DType::float64 || dtype == DType::float32 ? (i % 5 == 0 ? 100 : 0.5) : 0.5);
  }
}

TEST_CASE("normalize: forward and gradient of points, of fewer and more channels than work is divided by") {
  Generator random(3);
  for (const std::int64_t channels : {1, 2, 3, 16, 31, 32, 33, 64, 70}) {
    for (const DType dtype : kFloating) {
      for (const bool training : {true, false})
        check({random.integer(2, 90), channels, 1, dtype, training, true, statistics_dtype(dtype)}, random, 0.5);
    }
  }
}

TEST_CASE(
    "normalize: gradients that nobody wants are not computed, the others are the same; bits do not depend on threads") {
  Generator random(2);
  NormalizeGradientCall call;
  call.batch = 3, call.channels = 5, call.inner = 10000;
  call.grad = random.array({3, 5, 10000}, DType::float32), call.x = random.array({3, 5, 10000}, DType::float32);
  call.mean = random.array({5}, DType::float32), call.inverse_deviation = random.array({5}, DType::float32);
  Array dx[3];
  for (int threads = 1; threads <= 3; ++threads) {
    const Threads scope(threads);
    call.dx = dx[threads - 1] = unwritten({3, 5, 10000}, DType::float32);
    Device("cpu").backend().normalize_gradient(call);
    CHECK(same_bits(dx[0], dx[threads - 1]));
  }
  call.dbias = unwritten({5}, DType::float32);
  call.dx = Array();
  Device("cpu").backend().normalize_gradient(call);
  const auto grad = call.grad.values<double>();
  double sum = 0;
  for (std::size_t n = 0; n < 3; ++n)
    for (std::size_t i = 0; i < 10000; ++i) sum += grad[n * 50000 + 20000 + i];
  CHECK(call.dbias.values<double>()[2] == doctest::Approx(sum).epsilon(1e-6));
}
