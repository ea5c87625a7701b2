// Loss scaling: what the scale does, what a skipped step leaves alone, and the order of calls.
#include <doctest/doctest.h>

#include <limits>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/families.h>
#include <mnemo/optim/clip.h>
#include <mnemo/optim/scaler.h>
#include <mnemo/optim/step_in_backward.h>

#include "optimizers.h"

using namespace optimizers;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor gradient_of(const std::vector<double>& values, DType dtype = DType::float32, const Device& device = "cpu") {
  return Tensor(Array::from<double>(values, {static_cast<std::int64_t>(values.size())}, device).to(dtype));
}

/// A loss that has passed the scaler: its device is known.
void begin(GradScaler& scaler, const Device& device = "cpu") { scaler.scale(ones({}, {.device = device})); }

}  // namespace

TEST_CASE("scaler: scaled gradients, and a step as if there were no scale") {
  numbers::Generator random(1);
  for (const bool apart : {false, true}) {
    const auto values = any_numbers(random, 600);
    Tensor scaled = parameter_of(values, {600}, DType::float32), plain = parameter_of(values, {600}, DType::float32);
    Adam one({scaled}), other({plain});
    GradScaler scaler({.init_scale = 1024});
    for (int step = 0; step < 5; ++step) {
      one.zero_grad();
      other.zero_grad();
      scaler.scale(sum(pow(scaled, 2))).backward();
      sum(pow(plain, 2)).backward();
      const auto with = scaled.grad().values<double>(), without = plain.grad().values<double>();
      for (std::size_t i = 0; i < with.size(); ++i) REQUIRE(with[i] == 1024 * without[i]);
      if (apart) {
        scaler.unscale(one);
        CHECK(numbers::same_bits(scaled.grad().array(), plain.grad().array()));
      }
      scaler.step(one);
      other.step();
      scaler.update();
      CHECK(numbers::same_bits(scaled.array(), plain.array()));
    }
  }
}

TEST_CASE("scaler: the scale grows after the interval, falls where something is not finite, and never overflows") {
  Tensor parameter = parameter_of({1, 2}, {2}, DType::float32);
  SGD optimizer({parameter}, {.lr = 0});
  GradScaler scaler({.init_scale = 8, .growth = 4, .backoff = 0.25, .growth_interval = 3});
  CHECK(scaler.factor() == 8);
  begin(scaler);
  // The rule, one number at a time.
  double scale = 8;
  int good = 0;
  for (const double worst : {1.0, 1.0, 1.0, 1.0, kInfinity, 1.0, 1.0, kNan, -kInfinity, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}) {
    parameter.set_grad(gradient_of({0, worst}));
    scaler.step(optimizer);
    scaler.update();
    if (!std::isfinite(worst)) {
      scale *= 0.25;
      good = 0;
    } else if (++good == 3) {
      scale *= 4;
      good = 0;
    }
    CHECK(scaler.state() == GradScalerState{scale, 4, 0.25, 3, good});
  }
  scaler.load({.scale = 0x1p126, .growth = 4, .growth_interval = 1});
  parameter.set_grad(gradient_of({0, 1}));
  scaler.step(optimizer);
  scaler.update();
  CHECK(scaler.factor() == 0x1p126);
}

TEST_CASE("scaler: a skipped step leaves parameters, moments and step counts as they were, in every rule") {
  for (const Rule& rule : all_rules()) {
    for (const bool apart : {false, true}) {
      for (const double bad : {kInfinity, kNan}) {
        CAPTURE(rule.name);
        Tensor always = parameter_of({1, 2}, {2}, DType::float64), seldom = parameter_of({3}, {1}, DType::float64);
        Element a{.value = 1}, b{.value = 3};
        const auto optimizer = rule.make({always, seldom});
        GradScaler scaler({.init_scale = 4});
        double scale = 4;
        for (int step = 0; step < 12; ++step) {
          begin(scaler);
          // The first step of all is one that is skipped; the second parameter has a gradient in every third.
          const bool skipped = step % 4 == 0, both = step % 3 == 0;
          always.set_grad(gradient_of({scale * (0.5 - step), skipped ? bad : 0}, DType::float64));
          seldom.set_grad(both ? gradient_of({scale * 0.25 * step}, DType::float64) : Tensor());
          const auto before = always.values<double>();
          if (apart) scaler.unscale(*optimizer);
          scaler.step(*optimizer);
          scaler.update();
          if (skipped) {
            scale /= 2;
            CHECK(always.values<double>() == before);
          } else {
            a.step(rule, 0.5 - step, optimizer->lr());
            if (both) b.step(rule, 0.25 * step, optimizer->lr());
          }
          CHECK(scaler.factor() == scale);
          CHECK(optimizer->steps(0) == a.steps);
          CHECK(optimizer->steps(1) == b.steps);
          CHECK(always.values<double>()[0] == doctest::Approx(a.value).epsilon(1e-12));
          CHECK(seldom.values<double>()[0] == doctest::Approx(b.value).epsilon(1e-12));
        }
        // Steps without a scaler go on from the same count.
        always.set_grad(gradient_of({0.5, 0}, DType::float64));
        seldom.set_grad({});
        optimizer->step();
        a.step(rule, 0.5, optimizer->lr());
        CHECK(always.values<double>()[0] == doctest::Approx(a.value).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("scaler: float16 training overflows, is skipped until the scale fits, and then learns") {
  numbers::Generator random(2);
  Tensor w(random.array({4, 8}, DType::float32), true);
  const Tensor x(random.array({16, 8}, DType::float32, -4, 4)), target(random.array({16, 4}, DType::float32));
  Adam optimizer({w}, {.lr = 0.05});
  GradScaler scaler({.init_scale = 0x1p24, .growth_interval = 1000});
  double first = 0, last = 0;
  int skipped = 0;
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    const Tensor loss = autocast(DType::float16, [&] { return mse_loss(linear(x, w), target); });
    if (step == 0) first = loss.item();
    last = loss.item();
    scaler.scale(loss).backward();
    const auto before = w.values<float>();
    const double scale = scaler.factor();
    scaler.step(optimizer);
    scaler.update();
    const bool fell = scaler.factor() == scale / 2;
    skipped += fell;
    CHECK((w.values<float>() == before) == fell);
    CHECK(optimizer.steps(0) == step + 1 - skipped);
  }
  // A gradient of the loss below 65504 / 2^24 would be needed at first.
  CHECK(skipped >= 3);
  CHECK(skipped <= 15);
  CHECK(last < first / 3);
}

TEST_CASE("scaler: small gradients survive float16 with a scale, and the report says how many do not without") {
  Tensor w = parameter_of(std::vector<double>(64, 1), {64}, DType::float32);
  std::vector<double> factors;
  for (int i = 0; i < 64; ++i) factors.push_back(std::ldexp(1.0, -i / 2));
  const Tensor x = gradient_of(factors);
  // dloss/dw_i = 2^-(i/2), through a float16 tensor: below 2^-25 it is 0, below 2^-14 subnormal.
  const auto report = [&](double scale) {
    w.zero_grad();
    SGD optimizer({w});
    GradScaler scaler({.init_scale = scale});
    scaler.scale(sum(to(to(w, DType::float16) * to(x, DType::float16), DType::float32))).backward();
    return scaler.underflow(optimizer).at(0);
  };
  const GradUnderflow without = report(1);
  CHECK(without.elements == 64);
  CHECK(without.zeros == 2 * (31 - 24));      // 2^-25 .. 2^-31, the first of which is a tie that goes to 0
  CHECK(without.subnormal == 2 * (24 - 14));  // 2^-15 .. 2^-24
  CHECK(without.fraction() == (14 + 20) / 64.0);
  const GradUnderflow with = report(1024);
  // The factors themselves have lost those 14 in float16; what is left is lifted by ten powers.
  CHECK(with.zeros == 14);
  CHECK(with.subnormal == 0);
  CHECK(with.not_finite == 0);
}

TEST_CASE("scaler: calls out of order are refused, and change nothing") {
  Tensor parameter = parameter_of({1, 2}, {2}, DType::float32), other = parameter_of({1}, {1}, DType::float32);
  SGD optimizer({parameter}, {.lr = 1}), second({other}, {.lr = 1});
  GradScaler scaler({.init_scale = 2});
  parameter.set_grad(gradient_of({2, 4}));
  CHECK_THROWS_WITH_AS(scaler.step(optimizer), doctest::Contains("no loss was scaled"), GradError);
  CHECK_THROWS_WITH_AS(scaler.unscale(optimizer), doctest::Contains("no loss was scaled"), GradError);
  CHECK_THROWS_WITH_AS(scaler.update(), doctest::Contains("no optimizer has stepped"), GradError);
  begin(scaler);
  CHECK_THROWS_WITH_AS(scaler.step(second), doctest::Contains("has a gradient"), GradError);
  scaler.unscale(optimizer);
  CHECK(parameter.grad().values<float>() == std::vector<float>{1, 2});
  CHECK_THROWS_WITH_AS(scaler.unscale(optimizer), doctest::Contains("unscaled already"), GradError);
  CHECK_THROWS_WITH_AS(scaler.underflow(optimizer), doctest::Contains("unscaled already"), GradError);
  CHECK(parameter.grad().values<float>() == std::vector<float>{1, 2});
  CHECK_THROWS_AS(scaler.load({}), GradError);
  scaler.step(optimizer);
  CHECK_THROWS_WITH_AS(scaler.step(optimizer), doctest::Contains("stepped already"), GradError);
  CHECK_THROWS_WITH_AS(scaler.unscale(optimizer), doctest::Contains("unscale before step"), GradError);
  CHECK(parameter.values<float>() == std::vector<float>{0, 0});
  scaler.update();
  CHECK_THROWS_AS(scaler.update(), GradError);
  scaler.step(optimizer);
  scaler.update();
  CHECK(parameter.values<float>() == std::vector<float>{-0.5, -1});

  Tensor half = parameter_of({1}, {1}, DType::float16);
  SGD halves({half});
  half.set_grad(gradient_of({1}, DType::float16));
  CHECK_THROWS_WITH_AS(scaler.unscale(halves), doctest::Contains("float16"), GradError);
  CHECK_THROWS_WITH_AS(scaler.step(halves), doctest::Contains("float16"), GradError);
  const Device elsewhere = Device::open("cpu");
  Tensor far = parameter_of({1}, {1}, DType::float32, elsewhere);
  SGD far_away({far});
  far.set_grad(gradient_of({1}, DType::float32, elsewhere));
  CHECK_THROWS_AS(scaler.step(far_away), DeviceError);
  CHECK_THROWS_AS(scaler.underflow(optimizer, DType::float32), DTypeError);

  using Options = GradScalerOptions;
  for (const Options& bad :
       {Options{.init_scale = 0}, Options{.init_scale = kInfinity}, Options{.growth = 0.5}, Options{.backoff = 0},
        Options{.backoff = 2}, Options{.growth_interval = 0}, Options{.init_scale = kNan}})
    CHECK_THROWS_AS(GradScaler{bad}, ConfigError);
  CHECK_THROWS_AS(scaler.load({.good_steps = 2000}), ConfigError);
}

TEST_CASE("scaler: two optimizers decide by themselves, and the scale follows both") {
  Tensor a = parameter_of({1}, {1}, DType::float32), b = parameter_of({1}, {1}, DType::float32);
  SGD first({a}, {.lr = 1}), second({b}, {.lr = 1});
  GradScaler scaler({.init_scale = 4});
  begin(scaler);
  a.set_grad(gradient_of({4}));
  b.set_grad(gradient_of({kInfinity}));
  scaler.step(first);
  scaler.step(second);
  scaler.update();
  CHECK(a.item() == 0);
  CHECK(b.item() == 1);
  CHECK(scaler.factor() == 2);
}

TEST_CASE("scaler: disabled it passes everything through") {
  Tensor parameter = parameter_of({1, 2}, {2}, DType::float16);
  SGD optimizer({parameter}, {.lr = 1});
  GradScaler scaler({.enabled = false});
  const Tensor loss = ones({});
  CHECK(scaler.scale(loss).array().storage() == loss.array().storage());
  parameter.set_grad(gradient_of({1, 2}, DType::float16));
  scaler.unscale(optimizer);
  scaler.step(optimizer);
  scaler.step(optimizer);
  scaler.update();
  CHECK(parameter.values<double>() == std::vector<double>{-1, -2});
  CHECK(scaler.factor() == 1);
}

TEST_CASE("scaler: saved as numbers, it goes on bit for bit from every step") {
  const auto worst = [](int step) { return step % 5 == 3 ? kInfinity : 0.5 * step; };
  const auto run = [&](GradScaler& scaler, SGD& optimizer, Tensor& parameter, int from, int to) {
    for (int step = from; step < to; ++step) {
      begin(scaler);
      parameter.set_grad(gradient_of({worst(step)}));
      scaler.step(optimizer);
      scaler.update();
    }
  };
  const GradScalerOptions options{.init_scale = 32, .growth_interval = 2};
  Tensor whole = parameter_of({1}, {1}, DType::float32);
  SGD one({whole});
  GradScaler through(options);
  run(through, one, whole, 0, 12);
  for (int cut = 0; cut <= 12; ++cut) {
    Tensor parameter = parameter_of({1}, {1}, DType::float32);
    SGD optimizer({parameter});
    GradScaler before(options), after;
    run(before, optimizer, parameter, 0, cut);
    after.load(before.state());
    run(after, optimizer, parameter, cut, 12);
    CHECK(after.state() == through.state());
    CHECK(parameter.item() == whole.item());
  }
}

TEST_CASE("scaler: a few numbers on the device, the same bytes on virtual:cpu, and nothing read from it") {
  std::vector<memory::Bytes> seen[2];
  for (const char* where : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(where);
    auto& events = seen[device.is_virtual() ? 1 : 0];
    const auto subscription =
        device.allocator().subscribe([&](const memory::Event& event) { events.push_back(event.allocated); });
    Tensor parameter = ones({1000}, {.device = device, .requires_grad = true});
    Adam optimizer({parameter});
    GradScaler scaler;
    for (int step = 0; step < 3; ++step) {
      optimizer.zero_grad();
      scaler.scale(sum(pow(parameter, 2))).backward();
      if (step == 1) scaler.unscale(optimizer);
      scaler.step(optimizer);
      scaler.update();
    }
    // Two moments, the scale, the count of good steps, and that of skipped ones; the parameter and its gradient.
    optimizer.zero_grad();
    CHECK(device.allocator().categories()[static_cast<std::size_t>(memory::Category::optimizer_state)] ==
          2 * 4096 + 3 * 512);
    CHECK(device.allocator().allocated() == 3 * 4096 + 3 * 512);
  }
  CHECK(seen[0] == seen[1]);
}
