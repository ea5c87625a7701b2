// Origin: where a gradient goes that was computed in the shape and dtype of a result: back to those of an operand.
#pragma once

#include <memory>

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/families.h>

namespace mnemo {

/// Sums over what was broadcast, and casts.
class Origin {
 public:
  /// The operand, and the shape of the other one or of the result: where it is the same, nothing is summed, and no
  /// shape needs to be kept.
  Origin(const Tensor& x, const Shape& other)
      : dtype_(x.dtype()), shape_(x.shape() == other ? nullptr : std::make_unique<const Shape>(x.shape())) {}

  Array operator()(const Array& gradient) const {
    return shape_ ? sum_to(gradient, *shape_).to(dtype_) : gradient.to(dtype_);
  }

 private:
  DType dtype_;
  std::unique_ptr<const Shape> shape_;
};

}  // namespace mnemo
