// What writing and reading plan files agree on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

// magic | word: bytes of the file | version | cards | engines | answers | queries | a column per card | word: checksum
//   engine: name, numerical notes, behavior notes; the most frequent first
//   answer: a part of either 0 and the obstacle, or the number of plans and for each: engine, workspace, rank and state
//   column: a part of one number per query: 0 = no answer, else 1 + how far the answer stands from the one
//     behind the last
// Lists begin with their lengths. See packed_bytes.h for numbers, texts and parts, query_list.h for the queries.

inline constexpr std::string_view kPlanFileMagic = "mnemo plans\n";
inline constexpr std::uint64_t kPlanFileFormat = 1;
inline constexpr std::size_t kPlanFileWord = 8;  ///< bytes
/// Bounds on what a few bytes of a hostile file can ask for: bytes of a name of an engine, a card or a version, which
/// many plans may share, and cards.
inline constexpr std::size_t kPlanFileLongestName = 255, kPlanFileMostCards = 1000;
inline constexpr std::uint64_t kPlanStates = 3;

/// An entry of the list that plans refer to.
struct PlanFileEngine {
  std::string name;
  PlanNotes notes;
};

}  // namespace mnemo
