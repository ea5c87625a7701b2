#include <mnemo/core/planning/tabulation.h>

#include <memory>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/core/planning/plan_file.h>

namespace mnemo {

PlanAnswer ask(ConvPlanner& library, const ConvQuery& query) {
  RankedPlans plans = library.rank(query);
  PlanAnswer answer{eligible(query.problem.dtype, plans), plans.obstacle()};
  if (answer.plans.empty() && answer.obstacle.empty())
    answer.obstacle = fmt::format("the library refuses all {} engines that it ranks", plans.size());
  return answer;
}

std::string tabulate(std::span<const std::string> cards, std::span<const ConvQuery> queries,
                     const std::function<void(const std::string& card)>& progress) {
  std::vector<PlanTable> tables;
  for (const std::string& card : cards) {
    if (progress) progress(card);
    std::string reason;
    const std::shared_ptr<ConvPlanner> library = open_conv_planner(card, reason);
    if (!library) throw DeviceError(fmt::format("[tabulate] {}: {}", card, reason));
    PlanTable& table = tables.emplace_back(library->version(), card);
    table.reserve(queries.size());
    for (const ConvQuery& query : queries) {
      if (table.find(query) == nullptr) table.insert(query, ask(*library, query));
    }
  }
  return encode(tables);
}

}  // namespace mnemo
