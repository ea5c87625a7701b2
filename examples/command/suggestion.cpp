#include "command/suggestion.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace mnemo::command {

namespace {

/// Insertions, deletions and replacements of a character that turn one text into the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string suggestion(std::string_view given, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(
      known.begin(), known.end(),
      [given](const std::string& a, const std::string& b) { return distance(given, a) < distance(given, b); });
  if (nearest == known.end() || distance(given, *nearest) > std::max<std::size_t>(2, nearest->size() / 3)) return {};
  return fmt::format(" (did you mean {}?)", *nearest);
}

}  // namespace mnemo::command
