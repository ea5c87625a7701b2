#include <mnemo/core/planning/shipped_tables.h>

#include <algorithm>
#include <utility>

#include <mnemo/core/planning/plan_file.h>

namespace mnemo {

namespace {

/// For errors: there is no file any more.
std::string origin(const ShippedTable& table) { return std::string("shipped table ") + table.name; }

}  // namespace

std::vector<std::string> shipped_versions(std::string_view card) {
  std::vector<std::string> versions;
  for (const ShippedTable& table : shipped_tables()) {
    PlanFileHeader header = read_plan_header(table.bytes, origin(table));
    if (std::ranges::find(header.cards, card) == header.cards.end()) continue;
    if (std::ranges::find(versions, header.version) == versions.end()) versions.push_back(std::move(header.version));
  }
  return versions;
}

std::optional<PlanTable> shipped_table(std::string_view version, std::string_view card) {
  std::optional<PlanTable> known;
  for (const ShippedTable& table : shipped_tables()) {
    if (read_plan_header(table.bytes, origin(table)).version != version) continue;
    std::optional<PlanTable> found = decode_card(table.bytes, origin(table), card);
    if (known && found) {
      known->merge(*found);
    } else if (found) {
      known = std::move(found);
    }
  }
  return known;
}

}  // namespace mnemo
