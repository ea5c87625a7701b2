// Batch normalization's sums on the device "cuda", against float64: values far from 0, many rows and blocks, sums that
// cancel. Half types are added up in float before they go to a double, and none of it may be seen.
#include <doctest/doctest.h>

#include <core/numbers.h>
#include <cuda_device.h>

#include <mnemo/core/backend.h>

using namespace mnemo;
using namespace numbers;

namespace {

struct Case {
  std::int64_t batch, channels, inner;
  DType dtype;
  double center, spread;  ///< values: spread around center, rounded to the dtype
};

struct Sums {
  double first = 0, second = 0, magnitude = 0, second_magnitude = 0;
};

class Statistics {
 public:
  Statistics(const Case& sizes, Generator& random) : sizes_(sizes), count_(sizes.batch * sizes.inner) {
    x_ = random.array(full(), sizes.dtype, sizes.center - sizes.spread, sizes.center + sizes.spread);
    gradient_ = random.array(full(), sizes.dtype, -1, 3);  // its sum does not vanish
    values_ = x_.values<double>(), gradients_ = gradient_.values<double>();
  }

  void check() const {
    const std::vector<Sums> sums = of_channels(values_, values_, std::vector<double>(channels(), 0.0));
    std::vector<double> means, variances(channels());
    for (const Sums& one : sums) means.push_back(one.first / static_cast<double>(count_));
    const std::vector<Sums> centered = of_channels(values_, values_, means);
    NormalizeCall call = forward();
    call.mean = new_channels(), call.inverse_deviation = new_channels();
    call.y = there(unwritten(full(), sizes_.dtype));
    call.x.device().backend().normalize(call);
    const std::vector<double> found = here(call.mean), inverse = here(call.inverse_deviation);
    for (std::size_t c = 0; c < channels(); ++c) {
      CAPTURE(c);
      variances[c] = centered[c].second / static_cast<double>(count_);
      const double deviation = std::sqrt(variances[c]);
      // The mean is rounded once to be kept; its own error is little beside the deviation.
      CHECK(std::abs(found[c] - means[c]) <= 0x1p-24 * std::abs(means[c]) + 0x1p-20 * deviation);
      CHECK(std::abs(inverse[c] * deviation - 1) <= 0x1p-20);
    }
    NormalizeCall again = call;
    again.mean = new_channels(), again.inverse_deviation = new_channels();
    again.y = there(unwritten(full(), sizes_.dtype));
    call.x.device().backend().normalize(again);
    CHECK(here(again.mean) == found);
    CHECK(here(again.inverse_deviation) == inverse);
    CHECK(here(again.y) == here(call.y));
    check_gradient(call, found, inverse);
  }

 private:
  Shape full() const { return {sizes_.batch, sizes_.channels, sizes_.inner}; }
  Shape per_channel() const { return {sizes_.channels}; }
  std::size_t channels() const { return static_cast<std::size_t>(sizes_.channels); }
  DType statistics() const { return sizes_.dtype == DType::float64 ? DType::float64 : DType::float32; }
  Array new_channels() const { return there(unwritten(per_channel(), statistics())); }
  static Array there(const Array& array) { return array.to(*cuda_device()); }
  static std::vector<double> here(const Array& array) { return array.to(Device("cpu")).values<double>(); }

  NormalizeCall forward() const {
    NormalizeCall call;
    call.batch = sizes_.batch, call.channels = sizes_.channels, call.inner = sizes_.inner, call.epsilon = 0;
    call.x = there(x_);
    return call;
  }

  /// Of each channel the sums of a, and of a times the distance of b from the channel's center.
  std::vector<Sums> of_channels(const std::vector<double>& a, const std::vector<double>& b,
                                const std::vector<double>& centers) const {
    std::vector<Sums> sums(channels());
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::size_t c = i / static_cast<std::size_t>(sizes_.inner) % channels();
      const double distance = b[i] - centers[c], of_a = &a == &b ? distance : a[i];
      sums[c].first += of_a, sums[c].magnitude += std::abs(of_a);
      sums[c].second += of_a * distance, sums[c].second_magnitude += std::abs(of_a * distance);
    }
    return sums;
  }

  void check_gradient(const NormalizeCall& done, const std::vector<double>& means,
                      const std::vector<double>& inverse) const {
    NormalizeGradientCall back;
    back.batch = sizes_.batch, back.channels = sizes_.channels, back.inner = sizes_.inner;
    back.training = true, back.grad = there(gradient_), back.x = done.x;
    back.mean = done.mean, back.inverse_deviation = done.inverse_deviation;
    back.dx = there(unwritten(full(), sizes_.dtype));
    back.dweight = new_channels(), back.dbias = new_channels();
    back.x.device().backend().normalize_gradient(back);
    const std::vector<Sums> sums = of_channels(gradients_, values_, means);
    const std::vector<double> dweight = here(back.dweight), dbias = here(back.dbias);
    for (std::size_t c = 0; c < channels(); ++c) {
      CAPTURE(c);
      // Eight numbers at most are added in float, and results are rounded.
      CHECK(std::abs(dbias[c] - sums[c].first) <= 0x1p-21 * sums[c].magnitude);
      CHECK(std::abs(dweight[c] - sums[c].second * inverse[c]) <= 0x1p-20 * sums[c].second_magnitude * inverse[c]);
    }
  }

  Case sizes_;
  std::int64_t count_;
  Array x_, gradient_;
  std::vector<double> values_, gradients_;
};

}  // namespace

TEST_CASE("cuda: normalize's sums against float64: far from 0, little variance, many rows") {
  if (!cuda_device()) return;
  Generator random(9);
  // A step of float16 is 1/2 at 1000 and 16 at 30000, one of bfloat16 1/2 at 100: what varies are a few steps.
  for (const Case& one : {
           Case{20000, 16, 1, DType::float16, 1000, 1}, Case{20000, 16, 1, DType::bfloat16, -100, 1},
           Case{3001, 64, 1, DType::float16, 30000, 40}, Case{40001, 3, 1, DType::bfloat16, 100, 1},
           Case{3, 5, 20003, DType::float16, 1000, 1}, Case{2, 8, 16384, DType::bfloat16, -100, 1},
           Case{5000, 8, 1, DType::float32, 1e5, 1}, Case{2, 4, 8192, DType::float32, -1e5, 1},
           Case{7000, 8, 1, DType::float16, 0, 1e-6},  // subnormal
           Case{7000, 8, 1, DType::float16, 0, 60000},
           Case{7000, 8, 1, DType::bfloat16, 0, 1e18},  // whose squares have room in float, and their sums
       }) {
    CAPTURE(one.batch);
    CAPTURE(one.channels);
    CAPTURE(one.inner);
    CAPTURE(std::string(name(one.dtype)));
    CAPTURE(one.center);
    Statistics(one, random).check();
  }
}

TEST_CASE("cuda: normalize of a channel with an infinity or NaN is NaN there and nowhere else") {
  if (!cuda_device()) return;
  Generator random(10);
  for (const DType dtype : kFloating) {
    for (const std::int64_t inner : {1, 40}) {
      const std::int64_t batch = inner == 1 ? 500 : 4, channels = 16;
      std::vector<double> values = random.array({batch, channels, inner}, DType::float64).values<double>();
      const auto at = [&](std::int64_t n, std::int64_t c, std::int64_t i) {
        return static_cast<std::size_t>((n * channels + c) * inner + i);
      };
      values[at(0, 1, 0)] = std::numeric_limits<double>::infinity();  // the channel's first element
      values[at(batch - 1, 2, inner - 1)] = -std::numeric_limits<double>::infinity();
      values[at(1, 5, 0)] = std::numeric_limits<double>::quiet_NaN();
      NormalizeCall call;
      call.batch = batch, call.channels = channels, call.inner = inner, call.epsilon = 1e-3;
      call.x = Array::from<double>(values, {batch, channels, inner}, "cpu").to(dtype).to(*cuda_device());
      call.y = unwritten({batch, channels, inner}, dtype).to(*cuda_device());
      call.x.device().backend().normalize(call);
      const std::vector<double> y = call.y.to(Device("cpu")).values<double>();
      int wrong = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t c = i / static_cast<std::size_t>(inner) % static_cast<std::size_t>(channels);
        if (std::isnan(y[i]) != (c == 1 || c == 2 || c == 5)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}
