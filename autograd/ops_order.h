// Operations on the order of elements along an axis, each with its gradient: sorted, the first of those, rolled, again
// and again. What ops.h says holds here too.
#pragma once

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// Elements along an axis in order, and the places along it that they came from, int64.
struct Sorted {
  Tensor values;
  Tensor indices;  ///< never recorded
};
/// Smallest first, or largest. Equal elements stay in their order, whichever comes first; NaN is above all numbers, and
/// -0 is 0. A number without dimensions is a line of one. Keeps the indices. In memory the axis is the innermost one of
/// the results; where it is not that of x, x is copied first. On GPUs lines of more than 2048 elements take a workspace
/// besides: 8 bytes an element, of 64-bit types 16 or 32.
Sorted sort(const Tensor& x, int axis = -1, bool descending = false);
/// The indices alone.
Tensor argsort(const Tensor& x, int axis = -1, bool descending = false);
/// The k largest (smallest) elements along an axis in order, as the first of `sort`, at less expense. Keeps the
/// indices.
Sorted topk(const Tensor& x, std::int64_t k, int axis = -1, bool largest = true);
/// Index of the first smallest element; never recorded. As for arg_max, NaN is beyond all numbers.
Tensor arg_min(const Tensor& x, int axis);

/// x `counts[i]` times along axis i, in new memory; counts in front of those of x's axes make new axes: (2, 3) with
/// {2, 1, 2} is (2, 2, 6). Keeps nothing.
Tensor repeat(const Tensor& x, const Dims& counts);
/// Elements along an axis `shift` places further on, or back; those that go over an end come in at the other. Keeps
/// nothing.
Tensor roll(const Tensor& x, std::int64_t shift, int axis);

}  // namespace mnemo
