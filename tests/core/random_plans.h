// Rankings, queries and tables by chance, for the tests of the plan tables.
#pragma once

#include <random>
#include <string>
#include <vector>

#include <mnemo/core/planning/plan_table.h>

namespace random_plans {

using Random = std::mt19937_64;

/// From 0 to `most`, both included.
inline std::int64_t below(Random& random, std::int64_t most) {
  return std::uniform_int_distribution<std::int64_t>(0, most)(random);
}

/// A library's ranking: engines of all notes and states, workspaces from few values so that equal ones are common.
inline std::vector<mnemo::EnginePlan> ranking(Random& random, int longest = 24) {
  using State = mnemo::EnginePlan::State;
  const bool wide = below(random, 3) == 0;
  std::vector<mnemo::EnginePlan> plans(static_cast<std::size_t>(below(random, longest)));
  for (std::size_t i = 0; i < plans.size(); ++i) {
    mnemo::EnginePlan& plan = plans[i];
    plan.rank = static_cast<int>(i);
    plan.engine = "eng" + std::to_string(below(random, 60));
    if (below(random, 1) == 1) plan.engine += "_k2=" + std::to_string(below(random, 40)) + "_k24=-1";
    plan.notes.numerical = static_cast<std::uint32_t>(below(random, 3) == 0 ? random() : random() & random() & 0x3FF);
    plan.notes.behavior = static_cast<std::uint32_t>(below(random, 1));
    const std::int64_t luck = below(random, 9);
    plan.state = luck < 6 ? State::ready : luck < 8 ? State::refused : State::unknown;
    if (plan.state == State::ready) plan.workspace = wide ? below(random, std::int64_t{1} << 40) : below(random, 6);
    if (plan.state != State::ready) plan.reason = "NOT_SUPPORTED";
  }
  return plans;
}

/// Sizes of any kind, also such as no layer has.
inline mnemo::ConvQuery query(Random& random) {
  mnemo::ConvQuery query;
  mnemo::ConvProblem& problem = query.problem;
  auto size = [&] { return below(random, 9) == 0 ? below(random, std::int64_t{1} << 60) : below(random, 12); };
  problem.batch = size();
  problem.in_channels = size();
  problem.out_channels = size();
  problem.groups = 1 + size();
  for (mnemo::Size3* sizes : {&problem.in, &problem.kernel, &problem.out})
    for (std::int64_t& value : *sizes) value = size();
  for (mnemo::Size3* sizes : {&problem.stride, &problem.dilation})
    for (std::int64_t& value : *sizes) value = 1 + size();
  for (std::int64_t& value : problem.padding) value = size() - 3;
  problem.dtype = mnemo::kDTypes[below(random, 3)];
  problem.spatial_rank = static_cast<int>(1 + below(random, 2));
  query.pass = static_cast<mnemo::ConvPass>(below(random, 2));
  query.layout = static_cast<mnemo::ConvLayout>(below(random, 1));
  return query;
}

inline mnemo::PlanAnswer answer(Random& random) {
  mnemo::PlanAnswer answer{ranking(random, 8), ""};
  for (mnemo::EnginePlan& plan : answer.plans) plan.reason.clear();
  if (answer.plans.empty() && below(random, 1) == 1) answer.obstacle = "obstacle " + std::to_string(random() % 5);
  return answer;
}

/// Of several cards over the same queries, each without some of them; the answers often agree.
inline std::vector<mnemo::PlanTable> tables(Random& random, int cards, int queries) {
  std::vector<mnemo::PlanTable> tables;
  for (int i = 0; i < cards; ++i) tables.emplace_back("9.19.0", "card" + std::to_string(i));
  for (int i = 0; i < queries; ++i) {
    const mnemo::ConvQuery asked = query(random);
    mnemo::PlanAnswer common = answer(random);
    for (mnemo::PlanTable& table : tables) {
      const std::int64_t luck = below(random, 9);
      if (luck > 0) table.insert(asked, luck < 6 ? common : answer(random));
    }
  }
  return tables;
}

/// Whether two tables say the same, entry for entry.
inline bool same(const mnemo::PlanTable& a, const mnemo::PlanTable& b) {
  if (a.version() != b.version() || a.card() != b.card() || a.size() != b.size()) return false;
  for (const auto& [query, answer] : a) {
    const mnemo::PlanAnswer* other = b.find(query);
    if (!other || *other != *answer) return false;
  }
  return true;
}

}  // namespace random_plans
