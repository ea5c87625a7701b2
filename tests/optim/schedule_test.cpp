// Schedules against the rates that PyTorch's schedulers set (fixtures/make.py), and what they are used for.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/optim/optimizer.h>
#include <mnemo/optim/schedule.h>

#include "optim/fixtures/torch_schedules.h"

using namespace mnemo;
using namespace mnemo::optim;

namespace {

/// A difference of the order of what PyTorch's recursions round.
bool agree(double a, double b) { return std::abs(a - b) <= 1e-14; }

void check_rates(const std::string& name, const Schedule& schedule) {
  CAPTURE(name);
  const std::vector<double>& expected = kTorchRates.at(name);
  for (std::size_t step = 0; step < expected.size(); ++step) {
    CAPTURE(step);
    CAPTURE(schedule(static_cast<std::int64_t>(step)));
    CHECK(agree(schedule(static_cast<std::int64_t>(step)), expected[step]));
  }
}

void check_plateau(const std::string& name, const ReduceOnPlateauOptions& options, double sign = 1) {
  CAPTURE(name);
  const std::vector<double>&measured = kTorchRates.at("measured"), &expected = kTorchRates.at(name);
  ReduceOnPlateau rate(0.5, options);
  for (std::size_t i = 0; i < measured.size(); ++i) {
    CAPTURE(i);
    // Every measurement in a run of its own, which goes on from the state before.
    ReduceOnPlateau next(0.7, options);
    next.load(rate.state());
    rate = next;
    CHECK(agree(rate(sign * measured[i]), expected[i]));
    CHECK(rate.lr() == rate.state().lr);
  }
}

}  // namespace

TEST_CASE("PyTorch agrees: schedules step by step") {
  check_rates("step_decay", step_decay(0.5, 3, 0.3));
  check_rates("multi_step_decay", multi_step_decay(0.5, {2, 5, 5, 7}, 0.3));
  check_rates("exponential_decay", exponential_decay(0.5, 0.9));
  check_rates("polynomial", polynomial(0.5, 0, 7, 0.9));
  check_rates("linear", polynomial(0.5, 0.125, 7));
  check_rates("cosine", cosine(0.5, 0.01, 7));
  check_rates("warmup_cosine", warmup(4, cosine(0.5, 0.01, 7)));
  check_rates("one_cycle", one_cycle({.max_lr = 0.5, .steps = 12}));
  check_rates(
      "one_cycle_linear",
      one_cycle({.max_lr = 0.5, .steps = 13, .rising = 0.4, .start_divisor = 10, .end_divisor = 100, .linear = true}));
}

TEST_CASE("PyTorch agrees: the rate falls on a plateau, whenever training is interrupted") {
  check_plateau("plateau", {.factor = 0.3, .patience = 2});
  check_plateau("plateau_cooldown", {.factor = 0.3, .patience = 2, .threshold = 0.15, .cooldown = 3, .min_lr = 0.02});
  check_plateau("plateau_absolute", {.factor = 0.3, .patience = 2, .threshold = 0.05, .relative = false});
  const ReduceOnPlateauOptions rising{
      .factor = 0.3, .patience = 2, .threshold = 0.05, .relative = false, .maximize = true};
  check_plateau("plateau_rising", rising, -1);
  check_plateau("plateau_relative_rising", {.factor = 0.3, .patience = 2, .threshold = 0.02, .maximize = true});
}

// In PyTorch a loss that stays at -1 improves with every measurement: -1 < -1 * (1 - threshold) is wrong, but -1 is
// less than -0.9999.
TEST_CASE("a plateau of negative measurements is one") {
  ReduceOnPlateau rate(1, {.factor = 0.5, .patience = 1});
  for (int i = 0; i < 3; ++i) (void)rate(-1);
  CHECK(rate.lr() == 0.5);
  CHECK(rate(-1.001) == 0.5);
  CHECK(rate.state().best == -1.001);
}

TEST_CASE("behind their last step schedules stay where they are, and a warmup of no steps is none") {
  constexpr std::int64_t late = std::numeric_limits<std::int64_t>::max();
  CHECK(cosine(0.5, 0.25, 7)(late) == 0.25);
  CHECK(polynomial(0.5, 0.25, 7, 2)(late) == 0.25);
  CHECK(polynomial(0.5, 0.25, 7, 0)(6) == 0.5);
  CHECK(agree(one_cycle({.max_lr = 0.5, .steps = 12})(late), 2e-6));
  CHECK(one_cycle({.max_lr = 0.5, .steps = 1})(0) == 0.5);
  CHECK(one_cycle({.max_lr = 0.5, .steps = 12, .rising = 0})(0) == 0.5);
  CHECK(one_cycle({.max_lr = 0.5, .steps = 12, .rising = 1})(11) == 0.5);
  CHECK(step_decay(0.5, 3)(late) == 0);
  CHECK(multi_step_decay(0.5, {})(late) == 0.5);
  CHECK(warmup(0, exponential_decay(0.5, 0.5))(1) == 0.25);
  // A function of the program's own, behind a warmup that begins with nothing.
  const Schedule own = warmup(
      2, [](std::int64_t step) { return 8.0 / static_cast<double>(step + 1); }, 0);
  CHECK(std::vector<double>{own(0), own(1), own(2), own(3)} == std::vector<double>{0, 4, 8, 4});
}

TEST_CASE("numbers that make no schedule are errors that name it") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::pair<const char*, std::function<void()>> bad[] = {
      {"[step_decay] lr", [] { (void)step_decay(-1, 3); }},
      {"[step_decay] every", [] { (void)step_decay(1, 0); }},
      {"[step_decay] step", [] { (void)step_decay(1, 3)(-1); }},
      {"[multi_step_decay] milestones 5, 2",
       [] {
         (void)multi_step_decay(1, {5, 2});
       }},
      {"[exponential_decay] factor", [&] { (void)exponential_decay(1, nan); }},
      {"[polynomial] steps", [] { (void)polynomial(1, 0, 0); }},
      {"[cosine] to", [] { (void)cosine(1, -1, 5); }},
      {"[warmup] steps", [] { (void)warmup(-1, cosine(1, 0, 5)); }},
      {"[warmup] there is no schedule", [] { (void)warmup(3, {}); }},
      {"[one_cycle] rising", [] { (void)one_cycle({.max_lr = 1, .steps = 5, .rising = 1.5}); }},
      {"[one_cycle] steps", [] { (void)one_cycle({.max_lr = 1}); }},
      {"[ReduceOnPlateau] factor", [] { ReduceOnPlateau(1, {.factor = 1}); }},
      {"[ReduceOnPlateau] lr", [&] { ReduceOnPlateau{nan}; }},
      {"[ReduceOnPlateau] bad", [] { ReduceOnPlateau(1).load({.lr = 1, .bad = -1}); }},
  };
  for (const auto& [begin, call] : bad) {
    std::string text = "no error";
    try {
      call();
    } catch (const ConfigError& error) {
      text = error.what();
    }
    CAPTURE(text);
    CHECK(text.rfind(begin, 0) == 0);
  }
}

TEST_CASE("an optimizer steps by the rates of its schedule") {
  const Schedule rate = warmup(3, cosine(1, 0.5, 4), 0);
  Tensor weight = zeros({1}, {.dtype = DType::float64, .requires_grad = true});
  SGD optimizer({weight});
  const double rates[] = {0,  1.0 / 3, 2.0 / 3, 1, 0.5 + (1 + std::sqrt(0.5)) / 4, 0.75, 0.5 + (1 - std::sqrt(0.5)) / 4,
                          0.5};
  double expected = 0;
  for (std::int64_t step = 0; step < 8; ++step) {
    optimizer.set_lr(rate(step));
    optimizer.zero_grad();
    sum(weight).backward();
    optimizer.step();
    CHECK(weight.item() == doctest::Approx(expected -= rates[step]).epsilon(1e-12));
  }
}
