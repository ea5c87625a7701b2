// Matrix products by Eigen, where dtype and layout are such that it can read the operands in place.
#pragma once

#include <mnemo/core/cpu/matmul.h>

namespace mnemo::cpu {

/// Computes the product and returns true; false, with nothing done, for half types and for operands without a
/// dimension of stride 1.
bool multiply_with_eigen(const Product& product);

}  // namespace mnemo::cpu
