// The rows of the network-size lab that stand in files of their own: claims B3 to B6.
#pragma once

#include <string>

#include "labs/row.h"

namespace mnemo::labs {

/// B3: what a half type does to each category, as the model's own type and under autocast.
Row half_precision_row(const std::string& device);
/// B4: on the CPU always, since it takes numbers.
Row underflow_row();
/// B5: checkpoints along a chain of equal layers.
Row checkpointed_chain_row(const std::string& device);
/// B5: weights of one byte.
Row quantized_weights_row(const std::string& device);
/// B6: what a driver's tool shows, and the largest batch.
Row largest_batch_row(const std::string& device);

}  // namespace mnemo::labs
