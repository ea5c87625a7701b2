// Optimizers' updates, loss scaling and norms on the device "cuda" against those of the CPU, in float64 where that is
// what exact arithmetic gives.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <mnemo/core/families.h>

#include "core/numbers.h"
#include "cuda_device.h"

using namespace mnemo;
using namespace numbers;

namespace {

/// The same elements, dense with the same strides, on the device; `shift` elements behind an aligned address.
Array moved(const Array& array, std::int64_t shift = 0) {
  if (!array.defined()) return {};
  const Array line({array.numel() + shift}, array.dtype(), *cuda_device());
  const Array flat(array.storage(), Layout::contiguous({array.numel()}), array.dtype());
  const Array part = line.slice(0, shift, array.numel() + shift);
  part.device().backend().copy(flat.to(*cuda_device()), part);
  return {line.storage(), {array.shape(), array.strides(), shift}, array.dtype()};
}

/// The elements in the order of memory, on the CPU.
Array in_order(const Array& array) {
  return Array(array.storage(), {Shape{array.numel()}, Dims{1}, array.layout().offset}, array.dtype()).to("cpu");
}

struct Dtypes {
  DType parameter, gradient, moments;
};
constexpr Dtypes kDtypes[] = {
    {DType::float32, DType::float32, DType::float32},  {DType::float64, DType::float64, DType::float64},
    {DType::float16, DType::float16, DType::float16},  {DType::bfloat16, DType::bfloat16, DType::bfloat16},
    {DType::float32, DType::bfloat16, DType::float32}, {DType::bfloat16, DType::float32, DType::float32},
    {DType::float64, DType::float32, DType::bfloat16}};

UpdateSlot slot(Generator& random, std::int64_t count, const Dtypes& dtypes, int moments, std::int32_t skipped) {
  UpdateSlot result;
  result.parameter = random.array({count}, dtypes.parameter);
  result.gradient = random.array({count}, dtypes.gradient);
  if (moments > 0) result.first = random.array({count}, dtypes.moments);
  if (moments > 1) result.second = random.array({count}, dtypes.moments, 0.01, 1);
  if (skipped >= 0) result.skipped = Array::from<std::int32_t>({skipped}, {1}, "cpu");
  const DType halves[] = {DType::float16, DType::bfloat16};
  if (dtypes.parameter == DType::float32 && random.integer(0, 2) > 0)
    result.half = random.array({count}, random.one_of(halves));
  return result;
}

UpdateSlot moved(const UpdateSlot& slot, std::int64_t shift) {
  return {moved(slot.parameter, shift), moved(slot.gradient, shift), moved(slot.first, shift),
          moved(slot.second, shift),    moved(slot.first_largest),   moved(slot.second_largest),
          moved(slot.skipped),          moved(slot.half, shift)};
}

/// How far apart two results are, in steps of the dtype at 1.
double distance(const Array& there, const Array& here) {
  const auto a = in_order(there).values<double>(), b = in_order(here).values<double>();
  double worst = a.size() == b.size() ? 0 : 1e30;
  for (std::size_t i = 0; i < b.size() && worst < 1e30; ++i) {
    const double error = std::abs(a[i] - b[i]) / (rounding(here.dtype()) * std::max(1.0, std::abs(b[i])));
    if (!(error <= worst)) worst = std::isnan(error) ? 1e30 : error;
  }
  return worst;
}

/// Steps of rounding that a parameter may differ by. Where the count of steps is the device's, so is the power of beta2
/// in 1 - beta2^count, which makes of its last bit up to a thousand of the quotient's in float64.
double allowed_for(DType dtype, bool scaled) { return scaled && dtype == DType::float64 ? 1000 : 4; }

/// The half copy has the parameter's new values, rounded.
void check_half(const UpdateSlot& slot) {
  if (slot.half.defined()) CHECK(same_bits(in_order(slot.half), in_order(slot.parameter).to(slot.half.dtype())));
}

UpdateCall moved(UpdateCall call) {
  call.scale = moved(call.scale);
  call.found = moved(call.found);
  return call;
}

Array number(double value) { return Array::from<double>({value}, {1}, "cpu").to(DType::float32); }

struct Case {
  std::string name;
  UpdateCall call;
  int moments;
};

std::vector<Case> cases() {
  UpdateCall sgd, momentum, nesterov, first, adam, adamw;
  sgd.rule = momentum.rule = UpdateCall::Rule::sgd;
  sgd.lr = momentum.lr = 0.1;
  sgd.weight_decay = momentum.weight_decay = 0.03;
  momentum.momentum = 0.9;
  momentum.dampening = 0.2;
  momentum.count = 4;
  nesterov = first = momentum;
  nesterov.nesterov = nesterov.maximize = true;
  first.first_step = true;
  first.count = 1;
  adam.rule = UpdateCall::Rule::adam;
  adam.lr = 0.02;
  adam.weight_decay = 0.1;
  adam.count = 7;
  adam.bias_correction1 = 1 - std::pow(adam.beta1, 7);
  adam.bias_correction2 = 1 - std::pow(adam.beta2, 7);
  adamw = adam;
  adamw.decoupled_weight_decay = true;
  return {{"sgd", sgd, 0},     {"momentum", momentum, 1}, {"nesterov", nesterov, 1},
          {"first", first, 1}, {"adam", adam, 2},         {"adamw", adamw, 2}};
}

}  // namespace

TEST_CASE("cuda: updates of many parameters of every dtype, size and alignment agree with the CPU's") {
  if (!cuda_device()) return;
  Generator random(31);
  for (const Case& c : cases()) {
    for (const bool scaled : {false, true}) {
      CAPTURE(c.name);
      CAPTURE(scaled);
      std::vector<UpdateSlot> here, there;
      for (std::size_t i = 0; i < 90; ++i) {
        const std::int64_t sizes[] = {1, 3, 0, 64, 1023, 1024, 2500};
        const std::int64_t count = i == 10 ? 9000 : random.one_of(sizes);
        const std::int32_t skipped = scaled ? static_cast<std::int32_t>(random.integer(0, c.call.count - 1)) : -1;
        here.push_back(slot(random, count, i < 70 ? kDtypes[0] : random.one_of(kDtypes), c.moments, skipped));
        there.push_back(moved(here.back(), i % 5 == 4 ? random.integer(1, 3) : 0));
      }
      UpdateCall call = c.call;
      if (scaled) {
        call.scale = number(1000);
        call.found = number(0);
      }
      Device("cpu").backend().update(call, here);
      cuda_device()->backend().update(moved(call), there);
      for (std::size_t i = 0; i < here.size(); ++i) {
        CAPTURE(i);
        CAPTURE(here[i].parameter.numel());
        // One rounding of the result, and some of what it is computed from.
        CHECK(distance(there[i].parameter, here[i].parameter) <= allowed_for(here[i].parameter.dtype(), scaled));
        CHECK(same_bits(in_order(there[i].gradient), here[i].gradient));
        check_half(there[i]);
        check_half(here[i]);
        if (c.moments > 0) CHECK(distance(there[i].first, here[i].first) <= 4);
        if (c.moments > 1) CHECK(distance(there[i].second, here[i].second) <= 4);
        if (scaled) CHECK(same_bits(in_order(there[i].skipped), here[i].skipped));
      }
    }
  }
}

TEST_CASE("cuda: a step with something that is not finite is counted and changes nothing else") {
  if (!cuda_device()) return;
  Generator random(32);
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    std::vector<UpdateSlot> before, there;
    for (const std::int64_t count : {3, 0, 5000, 70000}) {
      before.push_back(slot(random, count, kDtypes[0], c.moments, 2));
      there.push_back(moved(before.back(), 0));
    }
    UpdateCall call = c.call;
    call.found = number(1);
    cuda_device()->backend().update(moved(call), there);
    for (std::size_t i = 0; i < there.size(); ++i) {
      CHECK(there[i].skipped.values<std::int32_t>() == std::vector<std::int32_t>{3});
      CHECK(same_bits(in_order(there[i].parameter), before[i].parameter));
      if (c.moments > 0) CHECK(same_bits(in_order(there[i].first), before[i].first));
      if (c.moments > 1) CHECK(same_bits(in_order(there[i].second), before[i].second));
      if (there[i].half.defined()) CHECK(same_bits(in_order(there[i].half), before[i].half));
    }
  }
}

TEST_CASE("cuda: Adam with moments of 8 bits agrees with the CPU's") {
  if (!cuda_device()) return;
  Generator random(33);
  for (const bool scaled : {false, true}) {
    std::vector<UpdateSlot> here, there;
    for (int i = 0; i < 25; ++i) {
      const std::int64_t count = i == 3 ? 0 : random.integer(1, 6000), blocks = (count + 2047) / 2048;
      UpdateSlot one = slot(random, count, random.one_of(kDtypes), 0, scaled ? i % 3 : -1);
      one.first = Array({count}, DType::uint8);
      one.second = Array({count}, DType::uint8);
      for (std::int64_t j = 0; j < count; ++j) {
        one.first.data<std::uint8_t>()[j] = static_cast<std::uint8_t>(random.integer(0, 255));
        one.second.data<std::uint8_t>()[j] = static_cast<std::uint8_t>(random.integer(0, 255));
      }
      one.first_largest = random.array({blocks}, DType::float32, 0.1, 1);
      one.second_largest = random.array({blocks}, DType::float32, 0.1, 1);
      if (blocks > 1) fill(one.first_largest.slice(0, 1, 2), 0);
      here.push_back(one);
      there.push_back(moved(one, 0));
    }
    UpdateCall call = cases().back().call;
    if (scaled) {
      call.scale = number(8);
      call.found = number(0);
    }
    Device("cpu").backend().update(call, here);
    cuda_device()->backend().update(moved(call), there);
    for (std::size_t i = 0; i < here.size(); ++i) {
      CAPTURE(i);
      CHECK(distance(there[i].parameter, here[i].parameter) <= allowed_for(here[i].parameter.dtype(), scaled));
      check_half(there[i]);
      check_half(here[i]);
      CHECK(distance(there[i].first_largest, here[i].first_largest) <= 4);
      CHECK(distance(there[i].second_largest, here[i].second_largest) <= 4);
      for (const auto& [a, b] :
           {std::pair(there[i].first, here[i].first), std::pair(there[i].second, here[i].second)}) {
        const auto codes = a.values<double>(), others = b.values<double>();
        std::size_t different = 0;
        for (std::size_t j = 0; j < codes.size(); ++j) {
          CHECK(std::abs(codes[j] - others[j]) <= 1);  // where a last digit decides between two neighbours
          different += codes[j] != others[j] ? 1 : 0;
        }
        CHECK(different <= codes.size() / 100);
      }
    }
  }
}

TEST_CASE("cuda: gradients are divided by the scale, and what is not finite is found wherever it is") {
  if (!cuda_device()) return;
  Generator random(34);
  for (const double bad : {0.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    for (const bool scaled : {false, true}) {
      std::vector<Array> here, there;
      for (int i = 0; i < 140; ++i) {
        here.push_back(
            random.array({random.integer(0, 8) == 0 ? 0 : random.integer(1, 3000)}, random.one_of(kFloating)));
        if (i == 133 && bad != 0) {
          here.back() = random.array({5001}, random.one_of(kFloating));
          fill(here.back().slice(0, 5000, 5001), bad);
        }
        there.push_back(moved(here.back(), random.integer(0, 2)));
      }
      const Array found = moved(number(0)), scale = scaled ? number(65536) : Array();
      cuda_device()->backend().unscale(there, moved(scale), found);
      CHECK(found.item() == (bad != 0 ? 1 : 0));
      const Array ignored = number(0);
      Device("cpu").backend().unscale(here, scale, ignored);
      for (std::size_t i = 0; i < here.size(); ++i)
        CHECK(in_order(there[i]).values<double>().size() == in_order(here[i]).values<double>().size());
      for (std::size_t i = 0; i < here.size(); ++i)
        if (i != 133) CHECK(same_bits(in_order(there[i]), here[i]));
    }
  }
}

TEST_CASE("cuda: many threads that find what is not finite say so together") {
  if (!cuda_device()) return;
  const Array found = moved(number(0));
  cuda_device()->backend().unscale(std::vector<Array>{full({70000}, std::nan(""), DType::float32, *cuda_device())},
                                   Array(), found);
  CHECK(found.item() == 1);
}

TEST_CASE("cuda: the scale follows what was found as on the CPU") {
  if (!cuda_device()) return;
  const ScaleRule rule{.growth = 4, .backoff = 0.25, .interval = 3};
  const Array scale = number(1024), good = Array::from<std::int32_t>({0}, {1}, "cpu");
  const Array its_scale = moved(scale), its_good = moved(good);
  for (const int found : {0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0}) {
    Device("cpu").backend().update_scale(rule, number(found), scale, good);
    cuda_device()->backend().update_scale(rule, moved(number(found)), its_scale, its_good);
    CHECK(its_scale.item() == scale.item());
    CHECK(its_good.item() == good.item());
  }
  fill(its_scale, 3e38);
  fill(its_good, 2);
  cuda_device()->backend().update_scale(rule, moved(number(0)), its_scale, its_good);
  CHECK(its_scale.item() == static_cast<double>(3e38f));
}

TEST_CASE("cuda: norms over many arrays agree with sums in float64, with the same bits in every run") {
  if (!cuda_device()) return;
  Generator random(35);
  for (const double p : {1.0, 2.0, 3.0, std::numeric_limits<double>::infinity()}) {
    CAPTURE(p);
    for (const int arrays : {0, 1, 119, 120, 121, 300}) {
      std::vector<Array> there;
      double expected = 0;
      for (int i = 0; i < arrays; ++i) {
        const Array here = random.array({random.integer(0, 700)}, random.one_of(kFloating));
        there.push_back(moved(here, random.integer(0, 1)));
        for (const double x : here.values<double>())
          expected = std::isinf(p) ? std::max(expected, std::abs(x)) : expected + std::pow(std::abs(x), p);
      }
      if (!std::isinf(p)) expected = std::pow(expected, 1 / p);
      const auto norm = [&] {
        const Array out({}, DType::float32, *cuda_device());
        cuda_device()->backend().norm(there, p, out);
        return out.item();
      };
      const double first = norm();
      CHECK(first == doctest::Approx(expected).epsilon(1e-7));
      CHECK(norm() == first);
      if (arrays == 300) {
        there[150] = moved(Array::from<double>({1, std::nan(""), 2}, {3}, "cpu"));
        CHECK(std::isnan(norm()));
      }
    }
  }
}
