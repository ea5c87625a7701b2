// The convolutions that the shipped plan table answers: those of every model of the zoo over the usual batch sizes and
// resolutions, and those that the labs and the documentation speak of.
#pragma once

#include <vector>

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// float32 as PyTorch lays it out, and both half types with the channels innermost; every query once.
std::vector<ConvQuery> usual_conv_queries();

}  // namespace mnemo::models
