// The one function behind every element-wise operation of one operand.
#pragma once

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/functors.h>

namespace mnemo {

/// `op` applied to every element, recorded with the derivative of its functor.
Tensor unary(UnaryOp op, const Tensor& x, const Scalars& scalars = {});

}  // namespace mnemo
