// Makes a plan table: asks the library at hand for every query and card, and writes down what it answers.
#pragma once

#include <functional>
#include <span>
#include <string>

#include <mnemo/core/planning/conv_planner.h>
#include <mnemo/core/planning/plan_table.h>

namespace mnemo {

/// What the library says to a query, as tables keep it.
PlanAnswer ask(ConvPlanner& library, const ConvQuery& query);

/// The bytes of a table (see plan_file.h) of the cards and queries. `progress` is told the card before it is asked.
/// Throws DeviceError with the reason if the library cannot be asked about a card.
std::string tabulate(std::span<const std::string> cards, std::span<const ConvQuery> queries,
                     const std::function<void(const std::string& card)>& progress = {});

}  // namespace mnemo
