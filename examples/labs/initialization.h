// The rows of the initialization lab that stand in files of their own: claims D3 to D5.
#pragma once

#include <string>

#include "labs/row.h"

namespace mnemo::labs {

/// D3: a forward pass that is not recorded.
Row no_grad_row(const std::string& device);
/// D4: replicas on several devices, and what divides their optimizer's state.
Row data_parallel_row(const std::string& device);
/// D5: weights that are masked, and channels that are gone.
Row pruning_row(const std::string& device);

}  // namespace mnemo::labs
