// Asks a card's library how it would compute a convolution: ranked engines with their exact workspaces. The library is
// reached by one symbol, which cuda/ defines.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

class ConvPlanner {
 public:
  virtual ~ConvPlanner() = default;

  /// The library's version, "9.19.0": rankings belong to a version and a card.
  virtual const std::string& version() const = 0;
  /// The library's ranking. What it does not support gives no plans and the reason; DTypeError if `dtype` is not
  /// floating. May be called from several threads; the plans themselves belong to one.
  virtual RankedPlans rank(const ConvQuery& query) = 0;
  /// The engine of that name ("eng28_k2=1"), as a device with the card's properties would run it; refused, with the
  /// reason, where there is none.
  virtual EnginePlan plan(const ConvQuery& query, std::string_view engine) = 0;
  /// The same kernel with that behind its sums, in the same blocks of workspace; refused, with the reason, where the
  /// library has none.
  virtual EnginePlan fused(const ConvQuery& query, const ConvEpilogue& epilogue, std::string_view engine) = 0;
};

/// The planner of the card of that name, or null and why there is none: built without cuDNN, or not found, or the card
/// is unknown to it. Throws CudaError, with the library's own words, if it does not take the card's properties.
std::shared_ptr<ConvPlanner> open_conv_planner(std::string_view card, std::string& reason);

}  // namespace mnemo
