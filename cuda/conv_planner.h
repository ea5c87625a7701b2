// The planner over the cuDNN library for any card whose properties are known.
#pragma once

#include <memory>
#include <string>

#include <mnemo/core/planning/conv_planner.h>
#include <mnemo/cuda/card_properties.h>

namespace mnemo::cuda {

/// The planner of a card, or null and why there is none: built without cuDNN, or not found, or the card is not
/// supported. Throws CudaError, with the library's own words, if it does not take the card's properties.
std::shared_ptr<ConvPlanner> open_conv_planner(const CardProperties& card, std::string& reason);

}  // namespace mnemo::cuda
