// resample: images of other sizes, row-major and channels-last.
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

namespace {

ConvLayout layout_of(const ResampleProblem& problem) {
  return problem.inner > 1 ? ConvLayout::channels_last : ConvLayout::contiguous;
}

}  // namespace

ResampleProblem resample_problem(const char* op, ResampleMode mode, const Array& x, const Extent& out, int rank,
                                 bool corners) {
  check_floating(op, x);
  check_extent(op, "output size", out, rank, 1);
  const int lead = x.rank() - rank;
  bool good = lead == 1 || lead == 2;
  for (int axis = lead; good && axis < x.rank(); ++axis) good = x.size(axis) > 0;
  if (!good) {
    fail<ShapeError>(op, fmt::format("input {} must be (N, C, {} sizes) or (C, {} sizes), each size at least 1",
                                     x.shape().text(), rank, rank));
  }
  ResampleProblem problem;
  for (int axis = 0; axis < lead; ++axis) problem.planes *= x.size(axis);
  if (lead == 2 && layout_of(x) == ConvLayout::channels_last) problem.planes = x.size(0), problem.inner = x.size(1);
  for (int axis = 0; axis < rank; ++axis) {
    const std::int64_t in = x.size(lead + axis), to = out[axis];
    checked_multiply(checked_multiply(in + 2, to, "a size times its new size"), 4, "a size times its new size");
    problem.axes[3 - rank + axis] = Resampling<std::int64_t>(mode, in, to, corners);
  }
  return problem;
}

Array resample(const ResampleProblem& problem, const Array& x, int rank) {
  Dims sizes = x.shape();
  for (int axis = 0; axis < rank; ++axis) sizes[x.rank() - rank + axis] = problem.axes[3 - rank + axis].out;
  const ConvLayout layout = layout_of(problem);
  const Array source = in_layout(x, layout), y = new_array(Shape(sizes), x.dtype(), x.device(), layout);
  count_operations(y.numel());
  x.device().backend().resample(problem, source, y);
  return y;
}

Array resample_gradient(const ResampleProblem& problem, const Array& grad, const Shape& x_shape) {
  const ConvLayout layout = layout_of(problem);
  const Array source = in_layout(grad, layout), dx = new_array(x_shape, grad.dtype(), grad.device(), layout);
  count_operations(grad.numel());
  grad.device().backend().resample_gradient(problem, source, dx);
  return dx;
}

}  // namespace mnemo
