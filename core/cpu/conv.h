// The ways in which the CPU backend computes a convolution.
#pragma once

#include <mnemo/core/backend.h>

namespace mnemo::cpu {

/// Without a workspace: the unfolded matrix is made in pieces that fit in the cache.
void conv_direct(const ConvCall& call);

/// The same for few channels per group, line by line.
void conv_lines(const ConvCall& call);

/// One image and group at a time is unfolded into call.workspace and multiplied.
void conv_gemm(const ConvCall& call);

}  // namespace mnemo::cpu
