// The symbol by which core reaches the planner: a card's name is looked up among the property files.
#include <mnemo/cuda/conv_planner.h>

#include <fmt/format.h>

namespace mnemo {

std::shared_ptr<ConvPlanner> open_conv_planner(std::string_view card, std::string& reason) {
  if (const cuda::CardProperties* properties = cuda::find_card_properties(card)) {
    return cuda::open_conv_planner(*properties, reason);
  }
  reason = fmt::format("the card {} has no property file that cuDNN could be told", card);
  return nullptr;
}

}  // namespace mnemo
