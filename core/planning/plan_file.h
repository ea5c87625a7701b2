// Plan tables as bytes: on the disk, and in the library. A file holds what one version of cuDNN answered for one or
// several cards, and holds once what they share: engines, lists of plans, queries.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/planning/plan_table.h>

namespace mnemo {

/// The bytes of a file with these tables, the same for the same tables. Throws Error unless they are of one version and
/// of different cards.
std::string encode(std::span<const PlanTable> tables);

struct PlanFileHeader {
  std::string version;             ///< of cuDNN
  std::vector<std::string> cards;  ///< in the order of the tables
};

/// What a file is about. Nothing behind it is looked at, so damage there goes unseen. `origin` names the file in
/// errors, here and below: FileError says what is wrong, whatever the bytes are.
PlanFileHeader read_plan_header(std::string_view bytes, const std::string& origin);
std::vector<PlanTable> decode(std::string_view bytes, const std::string& origin);
/// The table of one card alone, which costs a fraction of all; nothing if the file does not have it.
std::optional<PlanTable> decode_card(std::string_view bytes, const std::string& origin, std::string_view card);

}  // namespace mnemo
