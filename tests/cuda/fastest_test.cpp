// The policy fastest: plans are timed on a device, here by a clock of the test's own.
#include "queries.h"

#include <map>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/card_decisions.h>
#include <mnemo/core/planning/plan_book.h>
#include <mnemo/core/planning/plan_clock.h>

using namespace queries;

namespace {

/// A library of so many engines, whatever is asked.
class Engines final : public ConvPlanner {
 public:
  explicit Engines(int count) : count_(count) {}
  const std::string& version() const override { return version_; }
  RankedPlans rank(const ConvQuery&) override {
    std::vector<EnginePlan> plans;
    for (int i = 0; i < count_; ++i) {
      EnginePlan& plan = plans.emplace_back();
      plan.rank = i;
      plan.engine = "eng" + std::to_string(i);
      plan.workspace = 1000 * (count_ - i);
    }
    plans[2].notes.numerical = 1;  // tensor cores: TF32 for float32
    return RankedPlans(plans);
  }
  EnginePlan plan(const ConvQuery&, std::string_view) override { return {}; }
  EnginePlan fused(const ConvQuery&, const ConvEpilogue&, std::string_view) override { return {}; }

 private:
  int count_;
  std::string version_ = "9.99.0";
};

class Clock final : public PlanClock {
 public:
  std::map<std::string, double> times;
  int asked = 0;
  std::optional<double> seconds(const ConvQuery&, const EnginePlan& plan) override {
    ++asked;
    const auto found = times.find(plan.engine);
    return found == times.end() ? std::nullopt : std::optional(found->second);
  }
};

std::shared_ptr<const Decisions> decisions_with(std::shared_ptr<PlanClock> clock, int engines = 4) {
  auto book = std::make_shared<PlanBook>(
      PlanBook::Sources{std::make_shared<Engines>(engines), "", std::nullopt, PlanTable("9.99.0", "a device")});
  return device_decisions(*find_card("h200"), std::move(book), std::move(clock));
}

std::string taken(const Decisions& decisions, const char* policy, bool tf32 = false) {
  ConvPolicy parsed = parse_conv_policy(policy);
  parsed.allow_tf32 = tf32;
  return decisions.conv(cube(DType::float32, 2, 1, 3, 4, 8, 3), ConvPass::forward, parsed).engine;
}

}  // namespace

TEST_CASE("fastest: the plan of least time among those that policy and limit allow, timed once") {
  const auto clock = std::make_shared<Clock>();
  clock->times = {{"eng0", 3e-3}, {"eng1", 1e-3}, {"eng2", 1e-6}, {"eng3", 2e-3}};
  const auto decisions = decisions_with(clock);
  CHECK(taken(*decisions, "fastest") == "eng1");
  const int asked = clock->asked;
  CHECK(asked == 3);  // not the one that rounds to TF32
  CHECK(taken(*decisions, "fastest") == "eng1");
  CHECK(clock->asked == asked);
  CHECK(taken(*decisions, "fastest", true) == "eng2");
  CHECK(taken(*decisions, "fastest,workspace<=1000") == "eng3");
  CHECK(taken(*decisions, "heuristic") == "eng0");
}

TEST_CASE("fastest: plans that cannot be timed are passed over, and where none can the favourite is taken") {
  const auto clock = std::make_shared<Clock>();
  clock->times = {{"eng3", 1.0}};
  CHECK(taken(*decisions_with(clock), "fastest") == "eng3");
  clock->times.clear();
  CHECK(taken(*decisions_with(clock), "fastest") == "eng0");
  const ConvPlan none = decisions_with(clock)->conv(cube(DType::float32, 2, 1, 3, 4, 8, 3), ConvPass::forward,
                                                    parse_conv_policy("fastest,workspace<=10"));
  CHECK(none.algorithm != ConvAlgorithm::library);
}

TEST_CASE("fastest: ten of the plans that the policy allows are timed, as in PyTorch's benchmark mode") {
  const auto clock = std::make_shared<Clock>();
  for (int i = 0; i < 30; ++i) clock->times["eng" + std::to_string(i)] = 1.0 / (i + 1);
  CHECK(taken(*decisions_with(clock, 30), "fastest") == "eng10");  // without eng2, which rounds to TF32
  CHECK(clock->asked == 10);
}

TEST_CASE("fastest: a device that is not there cannot be timed") {
  CHECK_THROWS_AS(taken(*card_decisions(*find_card("h200")), "fastest"), DeviceError);
}
