// One convolution written on the command line, as a model: "conv3d:16,32,k3,p1@4x16x32x32x32".
#pragma once

#include <string_view>

#include "models/registry.h"

namespace mnemo::models {

/// Whether the text means a layer: it begins with "conv1d:", "conv2d:" or "conv3d:".
bool is_layer(std::string_view text);

/// The model of a text "convD:IN,OUT,kK[,pP][,sS][,dD][,gG]@NxINxSIZES": input and output channels, kernel, padding,
/// stride, dilation, groups, and the input's shape with its batch. Kernel, padding, stride and dilation take one
/// number, or one per size as in k1x3x3. Throws ConfigError that says what is wrong with which part.
Spec layer_spec(std::string_view text);

}  // namespace mnemo::models
