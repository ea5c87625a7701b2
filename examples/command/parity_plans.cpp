#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command/parity.h"

namespace mnemo::command {

namespace {

const char* name_of(EnginePlan::State state) {
  switch (state) {
    case EnginePlan::State::ready:
      return "ready";
    case EnginePlan::State::refused:
      return "refused";
    case EnginePlan::State::unknown:
      break;
  }
  return "unknown";
}

}  // namespace

std::string pass_text(const ConvTrace::Entry& entry) {
  const ConvProblem& problem = entry.problem;
  return fmt::format("{} stride ({}) padding ({}) dilation ({}) groups {}",
                     describe(ConvQuery{problem, entry.pass, entry.layout}), fmt::join(problem.stride, ", "),
                     fmt::join(problem.padding, ", "), fmt::join(problem.dilation, ", "), problem.groups);
}

std::vector<PlanRow> plan_rows(const ConvTrace::Entry& entry, const Decisions& decisions) {
  RankedPlans plans = decisions.plans(entry.problem, entry.pass, {});
  std::vector<PlanRow> rows;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const EnginePlan& plan = plans[i];
    const bool ready = plan.state == EnginePlan::State::ready;
    rows.push_back({plan.rank, plan.engine, name_of(plan.state), ready ? plan.workspace : 0, plan.notes.names()});
  }
  return rows;
}

bool agree(const PlanRow& a, const PlanRow& b) {
  if (a.rank != b.rank || a.engine != b.engine || a.notes != b.notes) return false;
  if (a.state == "unknown" || b.state == "unknown") return true;
  return a.state == b.state && a.workspace == b.workspace;
}

bool PlanPair::equal() const { return std::equal(device.begin(), device.end(), twin.begin(), twin.end(), agree); }

}  // namespace mnemo::command
