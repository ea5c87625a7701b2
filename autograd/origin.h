// Origin: where a gradient goes that was computed in the shape and dtype of a result: back to those of an operand.
#pragma once

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/families.h>

namespace mnemo {

/// Sums over what was broadcast, and casts.
struct Origin {
  Shape shape;
  DType dtype;
  explicit Origin(const Tensor& x) : shape(x.shape()), dtype(x.dtype()) {}
  Array operator()(const Array& gradient) const { return sum_to(gradient, shape).to(dtype); }
};

}  // namespace mnemo
