// Batch normalization with a residual and relu in one call, against the operations one after the other: the same bits,
// on whatever device.
#pragma once

#include <doctest/doctest.h>

#include <bit>
#include <string>

#include "numbers.h"

namespace fused {

using namespace mnemo;
using namespace numbers;

struct Sizes {
  std::int64_t batch, channels, inner;
};

struct Options {
  DType dtype = DType::float32;
  bool training = true, affine = true, residual = true;
};

class Check {
 public:
  Check(const Device& device, const Sizes& sizes, const Options& options, Generator& random)
      : device_(device), backend_(device.backend()), sizes_(sizes), options_(options), random_(random) {
    statistics_ = options.dtype == DType::float64 ? DType::float64 : DType::float32;
    call_.batch = sizes.batch, call_.channels = sizes.channels, call_.inner = sizes.inner;
    call_.training = options.training, call_.epsilon = 1e-3, call_.momentum = 0.3;
    call_.x = numbers({-1, 1});
    if (options.affine) call_.weight = channels(-1, 1), call_.bias = channels(-1, 1);
  }

  void run() {
    CAPTURE(sizes_.batch);
    CAPTURE(sizes_.channels);
    CAPTURE(sizes_.inner);
    CAPTURE(std::string(name(options_.dtype)));
    CAPTURE(options_.training);
    CAPTURE(options_.affine);
    CAPTURE(options_.residual);
    const Array running_mean = channels(-1, 1), running_variance = channels(0.5, 2);
    NormalizeCall plain = call_, one = call_;
    take(plain, running_mean, running_variance), take(one, running_mean, running_variance);
    backend_.normalize(plain);
    Array expected = plain.y;
    if (options_.residual) {
      one.residual = numbers({-1, 1});
      expected = empty();
      backend_.binary(BinaryOp::add, plain.y, one.residual, expected);
    }
    const Array result = empty();
    backend_.unary(UnaryOp::relu, {}, expected, result);
    one.relu = true;
    backend_.normalize(one);
    CHECK(same(one.y, result));
    for (const auto member : {&NormalizeCall::mean, &NormalizeCall::inverse_deviation, &NormalizeCall::running_mean,
                              &NormalizeCall::running_variance})
      CHECK(same(one.*member, plain.*member));

    NormalizeCall again = one;  // from what was written down, which has all that there is to know
    again.given = true, again.y = empty(), again.running_mean = again.running_variance = {};
    backend_.normalize(again);
    CHECK(same(again.y, one.y));
    CHECK(same(again.mean, plain.mean));
    gradients(one);
  }

 private:
  struct Range {
    double low, high;
  };
  Shape full() const { return {sizes_.batch, sizes_.channels, sizes_.inner}; }
  Array numbers(Range range) { return random_.array(full(), options_.dtype, range.low, range.high).to(device_); }
  Array channels(double low, double high) {
    return random_.array({sizes_.channels}, statistics_, low, high).to(device_);
  }
  Array empty() const { return unwritten(full(), options_.dtype).to(device_); }
  Array empty_channels() const { return unwritten({sizes_.channels}, statistics_).to(device_); }
  static bool same(const Array& a, const Array& b) { return same_bits(a.to(Device("cpu")), b.to(Device("cpu"))); }

  void take(NormalizeCall& call, const Array& mean, const Array& variance) const {
    call.running_mean = copy(mean), call.running_variance = copy(variance);
    call.y = empty(), call.mean = empty_channels(), call.inverse_deviation = empty_channels();
  }
  Array copy(const Array& array) const {
    const Array result(array.shape(), array.dtype(), device_);
    backend_.copy(array, result);
    return result;
  }

  void gradients(const NormalizeCall& done) {
    const Array grad = numbers({-1, 1}), masked = empty();
    backend_.unary_gradient(UnaryOp::relu, {}, grad, done.y, masked);
    for (const bool wanted : {false, true}) {
      const auto gradient = [&](const Array& of) {
        NormalizeGradientCall back;
        back.batch = sizes_.batch, back.channels = sizes_.channels, back.inner = sizes_.inner;
        back.training = options_.training;
        back.grad = of, back.x = done.x, back.weight = done.weight;
        back.mean = done.mean, back.inverse_deviation = done.inverse_deviation;
        if (wanted) back.dx = empty(), back.dweight = empty_channels(), back.dbias = empty_channels();
        return back;
      };
      NormalizeGradientCall steps = gradient(masked), one = gradient(grad);
      backend_.normalize_gradient(steps);
      one.relu = true;
      if (options_.residual)
        one.y = done.y, one.dresidual = empty();
      else
        one.bias = done.bias;
      backend_.normalize_gradient(one);
      if (wanted) {
        CHECK(same(one.dx, steps.dx));
        CHECK(same(one.dweight, steps.dweight));
        CHECK(same(one.dbias, steps.dbias));
      }
      if (!options_.residual) continue;
      CHECK(same(one.dresidual, masked));
      NormalizeGradientCall over = gradient(copy(grad));  // in the memory of the gradient
      over.relu = true, over.y = done.y, over.dresidual = over.grad;
      backend_.normalize_gradient(over);
      CHECK(same(over.dresidual, masked));
      if (wanted) CHECK(same(over.dx, steps.dx));
    }
  }

  Device device_;
  Backend& backend_;
  Sizes sizes_;
  Options options_;
  Generator& random_;
  DType statistics_;
  NormalizeCall call_;
};

/// One element, nothing, widths that no vector divides, more channels than a unit has, more elements than a block.
inline void check_all(const Device& device, bool large) {
  Generator random(5);
  std::vector<Sizes> all{{1, 1, 1},  {0, 3, 5},   {4, 0, 2},   {3, 5, 0},   {2, 3, 7},  {3, 2, 16},
                         {5, 3, 33}, {7, 1, 1},   {9, 3, 1},   {6, 8, 1},   {5, 32, 1}, {4, 33, 1},
                         {3, 40, 1}, {11, 64, 1}, {3, 100, 1}, {2, 301, 1}, {2, 9, 64}};
  if (large) all.insert(all.end(), {{3, 2055, 1}, {2, 3, 5003}, {600, 16, 1}, {2, 4, 8192}, {2, 1030, 4}});
  for (const Sizes& sizes : all) {
    const std::int64_t count = sizes.batch * sizes.channels * sizes.inner;
    for (int variant = 0; variant < 8; ++variant) {
      // Of many elements each dtype and each option half of the time: 0, 3, 5, 6.
      if (count > 5000 && std::popcount(static_cast<unsigned>(variant)) % 2 != 0) continue;
      for (const DType dtype : kFloating) {
        if (count > 1000 && dtype != kFloating[variant % 4]) continue;
        Check(device, sizes,
              {.dtype = dtype,
               .training = (variant & 1) == 0,
               .affine = (variant & 2) == 0,
               .residual = (variant & 4) == 0},
              random)
            .run();
      }
    }
  }
}

}  // namespace fused
