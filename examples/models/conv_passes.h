// The convolutions of a model's training step, found by running one without memory.
#pragma once

#include <string>
#include <vector>

#include "models/registry.h"

namespace mnemo::models {

struct ConvPassOf {
  std::string module;  ///< path of the layer
  ConvProblem problem;
  ConvPass pass = ConvPass::forward;
};

/// Every pass in the order of the first step; of a lone layer also the data gradient, which its input would need inside
/// a model. Throws ShapeError for a size that the model does not take.
std::vector<ConvPassOf> conv_passes(const Spec& spec, DType dtype, std::int64_t batch_size, std::int64_t edge);

/// Whether the model is one convolution and nothing else.
bool is_lone_layer(const std::vector<ConvPassOf>& passes);

}  // namespace mnemo::models
