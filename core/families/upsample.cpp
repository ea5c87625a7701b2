// upsample_nearest: every element many times, as a copy between views that have an axis for the repeats.
#include <algorithm>

#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

namespace {

/// (N, C, sizes...) with an axis behind each size: of the repeats in what is large, of size 1 in what is small.
struct Repeats {
  Dims small, large;
  unsigned axes = 0;  ///< those of the repeats

  Repeats(const Shape& shape, const Extent& scale) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      small.push_back(shape[axis]), large.push_back(shape[axis]);
      if (axis < 2 || scale[axis - 2] == 1) continue;
      axes |= 1U << small.rank();
      small.push_back(1), large.push_back(scale[axis - 2]);
    }
  }
};

}  // namespace

void check_upsample(const char* op, const Array& x, const Extent& scale) {
  check_defined(op, x);
  if (x.rank() < 3 || x.rank() > 5) {
    fail<ShapeError>(op, fmt::format("input {} must have 3 to 5 dimensions: (N, C, 1 to 3 sizes)", x.shape().text()));
  }
  check_extent(op, "scale", scale, x.rank() - 2, 1);
}

Array upsample_nearest(const Array& x, const Extent& scale) {
  check_upsample("upsample_nearest", x, scale);
  Dims sizes = x.shape();
  for (int axis = 2; axis < x.rank(); ++axis)
    sizes[axis] = checked_multiply(sizes[axis], scale[axis - 2], "the number of elements");
  const Array y = new_array(Shape(sizes), x.dtype(), x.device(), layout_of(x));
  const Repeats repeats(x.shape(), scale);
  count_operations(y.numel());
  x.device().backend().copy(x.reshape(repeats.small).expand(Shape(repeats.large)), y.reshape(repeats.large));
  return y;
}

Array upsample_nearest_gradient(const Array& grad, const Shape& x_shape, const Extent& scale) {
  const ConvLayout layout = layout_of(grad);
  const Array source = in_layout(grad, layout), dx = new_array(x_shape, grad.dtype(), grad.device(), layout);
  const Repeats repeats(x_shape, scale);
  count_operations(grad.numel());
  grad.device().backend().reduce(ReduceOp::sum, source.reshape(repeats.large), repeats.axes, 1,
                                 dx.reshape(repeats.small));
  return dx;
}

}  // namespace mnemo
