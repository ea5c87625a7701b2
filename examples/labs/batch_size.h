// The rows of the batch-size lab that have a file of their own.
#pragma once

#include <string>

#include "labs/row.h"

namespace mnemo::labs {

/// E4: a perceptron, a convolutional network, an LSTM and a transformer.
Row models_row(const std::string& device);
/// E5: several small batches for one large one.
Row accumulation_row(const std::string& device);
/// E6: the allocator's options, with batches of all sizes.
Row allocator_options_row(const std::string& device);

}  // namespace mnemo::labs
