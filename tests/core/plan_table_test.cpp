#include <doctest/doctest.h>

#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/core/planning/plan_table.h>

#include "core/random_plans.h"

using namespace mnemo;
using random_plans::below;
using random_plans::Random;

TEST_CASE("plan table: what was inserted is found, and nothing else") {
  Random random(1);
  PlanTable table("9.19.0", "h200");
  std::vector<std::pair<ConvQuery, PlanAnswer>> inserted;
  for (int i = 0; i < 500; ++i) {
    inserted.emplace_back(random_plans::query(random), random_plans::answer(random));
    table.insert(inserted.back().first, inserted.back().second);
  }
  CHECK(table.version() == "9.19.0");
  CHECK(table.card() == "h200");
  CHECK(table.size() == inserted.size());
  for (const auto& [query, answer] : inserted) {
    REQUIRE(table.find(query));
    CHECK(*table.find(query) == answer);
    ConvQuery other = query;
    ++other.problem.batch;
    CHECK_FALSE(table.find(other));
  }
  std::size_t count = 0;
  for (const auto& [query, answer] : table) {
    CHECK(table.find(query) == answer.get());
    ++count;
  }
  CHECK(count == inserted.size());
}

TEST_CASE("plan table: a later answer replaces the earlier one; what is not kept is dropped") {
  PlanTable table("9.19.0", "h200");
  const ConvQuery query;
  table.insert(query, {{}, "no engine takes it"});
  CHECK(table.find(query)->obstacle == "no engine takes it");
  EnginePlan plan;
  plan.engine = "eng1";
  plan.state = EnginePlan::State::unknown;
  plan.reason = "no driver";
  table.insert(query, {{plan}, "an obstacle beside plans"});
  plan.reason.clear();
  CHECK(table.size() == 1);
  CHECK(*table.find(query) == PlanAnswer{{plan}, ""});
}

TEST_CASE("plan table: merging adds, and what is merged in wins") {
  Random random(2);
  std::vector<PlanTable> tables = random_plans::tables(random, 2, 60);
  PlanTable merged = tables[0];
  merged.merge(tables[1]);
  merged.merge(merged);
  for (const auto& [query, answer] : tables[1]) CHECK(*merged.find(query) == *answer);
  std::size_t only_first = 0;
  for (const auto& [query, answer] : tables[0]) {
    if (tables[1].find(query)) continue;
    ++only_first;
    CHECK(*merged.find(query) == *answer);
  }
  CHECK(merged.size() == tables[1].size() + only_first);
}

TEST_CASE("plan table: the eligible plans lead to the choice that the whole ranking leads to") {
  const char* const policies[] = {"auto",
                                  "heuristic",
                                  "deterministic",
                                  "pytorch",
                                  "zero-workspace",
                                  "workspace<=64",
                                  "workspace<=3B",
                                  "auto,workspace<=2B",
                                  "deterministic,workspace<=3B",
                                  "pytorch,workspace<=1B",
                                  "heuristic,zero-workspace"};
  constexpr std::int64_t kFar = std::int64_t{1} << 41;
  Random random(3);
  int taken = 0, estimated = 0, kept = 0, ranked = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::vector<EnginePlan> plans = random_plans::ranking(random);
    const DType dtype = kDTypes[below(random, 3)];
    RankedPlans whole(plans);
    const std::vector<EnginePlan> few = eligible(dtype, whole);
    RankedPlans kept_plans(few);
    ranked += static_cast<int>(plans.size());
    kept += static_cast<int>(few.size());
    for (const char* text : policies) {
      for (int variant = 0; variant < 4; ++variant) {
        ConvPolicy policy = parse_conv_policy(text);
        policy.allow_tf32 = variant % 2 == 1;
        if (variant / 2 == 1) policy.workspace_limit = below(random, below(random, 1) == 0 ? 8 : kFar);
        const PlanChoice expected = choose(policy, dtype, whole);
        const PlanChoice found = choose(policy, dtype, kept_plans);
        CAPTURE(describe(policy));
        REQUIRE(found.plan == expected.plan);
        REQUIRE(found.estimated == expected.estimated);
        taken += expected.plan.has_value();
        estimated += expected.estimated;
      }
    }
  }
  // The comparison saw all kinds, and eligible() leaves most out.
  CHECK(taken > 50000);
  CHECK(estimated > 5000);
  CHECK(kept * 2 < ranked);
}
