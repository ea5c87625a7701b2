// One pass of a convolution, whole or in pieces.
#pragma once

#include <mnemo/core/backend.h>

namespace mnemo {

inline Array in_layout(const Array& array, ConvLayout layout) {
  return layout == ConvLayout::channels_last ? array.channels_last() : array.contiguous();
}

/// New memory for (N, C, sizes...) in that layout.
Array new_operand(const Shape& shape, ConvLayout layout, DType dtype, const Device& device);

/// The same in another dtype, cast and moved in one pass.
Array in_layout(const Array& array, ConvLayout layout, DType dtype);

/// Asks the device for a plan, allocates the workspace, and fills the output of `call`; what no plan takes whole is
/// computed in pieces. REQUIRES: all arrays of the pass allocated and dense in call.layout.
void run_conv(ConvCall& call, const Device& device);

}  // namespace mnemo
