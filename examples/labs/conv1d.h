// The rows of the conv1d lab that have a file of their own.
#pragma once

#include <string>
#include <vector>

#include "labs/conv1d_chain.h"
#include "labs/row.h"

namespace mnemo::labs {

/// Conv1d, 128 to 64 channels, kernel 3, and the two layers that stand in its place.
inline const std::vector<Conv1dLayer> kOneConv{{.in = 128, .out = 64, .kernel = 3}};
inline const std::vector<Conv1dLayer> kSeparable{{.in = 128, .out = 128, .kernel = 3, .groups = 128},
                                                 {.in = 128, .out = 64, .kernel = 1}};

/// C1: a pool before it.
std::vector<Row> pooled_rows(const std::string& device);
/// C2: depthwise and pointwise in its place.
std::vector<Row> separable_rows(const std::string& device);
/// C3: checkpoints around it, and around a chain.
std::vector<Row> checkpointed_rows(const std::string& device);

}  // namespace mnemo::labs
