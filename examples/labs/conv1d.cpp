// The conv1d lab: three ways to spare memory in Conv1d layers (claims C1 to C3).
#include "labs/conv1d.h"

#include <utility>

namespace mnemo::labs {

std::vector<Row> conv1d_lab(const std::string& device) {
  std::vector<Row> rows;
  for (const auto& of : {pooled_rows, separable_rows, checkpointed_rows}) {
    for (Row& row : of(device)) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace mnemo::labs
