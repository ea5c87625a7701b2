// Where mnemo is built without cuDNN's headers: the one symbol by which its planner is reached says so.
#include <mnemo/cuda/conv_planner.h>

namespace mnemo::cuda {

std::shared_ptr<ConvPlanner> open_conv_planner(const CardProperties&, std::string& reason) {
  reason = "this build of mnemo has no cuDNN";
  return nullptr;
}

}  // namespace mnemo::cuda
