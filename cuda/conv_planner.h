// Asks a card's library how it would compute a convolution: ranked engines with their exact workspaces.
#pragma once

#include <memory>
#include <string>

#include <mnemo/cuda/card_properties.h>
#include <mnemo/cuda/conv_query.h>
#include <mnemo/cuda/engine_plan.h>

namespace mnemo::cuda {

class ConvPlanner {
 public:
  virtual ~ConvPlanner() = default;

  /// The library's version, "9.19.0": rankings belong to a version and a card.
  virtual const std::string& version() const = 0;
  virtual const CardProperties& card() const = 0;
  /// The library's ranking. What it does not support gives no plans and the reason; DTypeError if `dtype` is not
  /// floating. May be called from several threads; the plans themselves belong to one.
  virtual RankedPlans rank(const ConvQuery& query) = 0;
};

/// The planner of a card, or null and why there is none: built without cuDNN, or not found, or the card is not
/// supported. Throws CudaError, with the library's own words, if it does not take the card's properties.
std::shared_ptr<ConvPlanner> open_conv_planner(const CardProperties& card, std::string& reason);

}  // namespace mnemo::cuda
