#include <mnemo/core/planning/plan_table.h>

#include <utility>

namespace mnemo {

const PlanAnswer* PlanTable::find(const ConvQuery& query) const {
  const auto found = answers_.find(query);
  return found == answers_.end() ? nullptr : found->second.get();
}

void PlanTable::insert(const ConvQuery& query, PlanAnswer answer) {
  for (EnginePlan& plan : answer.plans) plan.reason.clear();
  answer.plans.shrink_to_fit();
  if (!answer.plans.empty()) answer.obstacle.clear();
  share(query, std::make_shared<const PlanAnswer>(std::move(answer)));
}

void PlanTable::share(const ConvQuery& query, std::shared_ptr<const PlanAnswer> answer) {
  answers_.insert_or_assign(query, std::move(answer));
}

void PlanTable::merge(const PlanTable& other) {
  if (&other == this) return;
  for (const auto& [query, answer] : other) share(query, answer);
}

}  // namespace mnemo
