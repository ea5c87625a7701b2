// One pass of a convolution, whole or in pieces.
#pragma once

#include <mnemo/core/backend.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

/// Asks `plans`, or the device where that is null, for a plan, allocates the workspace, and fills the output of `call`;
/// what no plan takes whole is computed in pieces, each with a plan of the device's. REQUIRES: all arrays of the pass
/// allocated and dense in call.layout.
void run_conv(ConvCall& call, const Device& device, LatestPlans* plans = nullptr);

}  // namespace mnemo
