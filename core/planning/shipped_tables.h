// The plan tables that the build writes into the library, core/planning/tables/*.plans: what cuDNN answers, for
// machines that have none. mnemo_tables in cmake/MnemoPlanning.cmake does it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/planning/plan_table.h>

namespace mnemo {

struct ShippedTable {
  const char* name;        ///< of the file, without ".plans"
  std::string_view bytes;  ///< see plan_file.h
};

std::span<const ShippedTable> shipped_tables();

/// The versions of cuDNN that there is a table of this card for, in no order.
std::vector<std::string> shipped_versions(std::string_view card);
/// What the tables know of this card, all together; nothing if none is about it.
std::optional<PlanTable> shipped_table(std::string_view version, std::string_view card);

}  // namespace mnemo
