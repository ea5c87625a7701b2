#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

ConvLayout layout_of(const PoolProblem& problem) {
  return problem.inner > 1 ? ConvLayout::channels_last : ConvLayout::contiguous;
}

}  // namespace

PoolProblem pool_problem(const char* op, PoolProblem::Kind kind, const Array& x, int rank, const PoolOptions& options) {
  check_floating(op, x);
  if (x.rank() != rank + 2 && x.rank() != rank + 1) {
    fail<ShapeError>(op, fmt::format("input {} must have {} or {} dimensions: (N, C, {} sizes) or (C, {} sizes)",
                                     x.shape().text(), rank + 2, rank + 1, rank, rank));
  }
  check_extent(op, "kernel", options.kernel, rank, 1);
  check_extent(op, "stride", options.stride, rank, 0);
  check_extent(op, "padding", options.padding, rank, 0);
  check_extent(op, "dilation", options.dilation, rank, 1);
  PoolProblem problem;
  problem.kind = kind;
  problem.count_include_pad = options.count_include_pad;
  const int lead = x.rank() - rank;
  for (int axis = 0; axis < lead; ++axis) problem.planes *= x.size(axis);
  if (lead == 2 && layout_of(x) == ConvLayout::channels_last) problem.planes = x.size(0), problem.inner = x.size(1);
  for (int axis = 0; axis < rank; ++axis) {
    const auto at = static_cast<std::size_t>(axis + 3 - rank);
    const std::int64_t in = x.size(axis + lead), kernel = options.kernel[axis], padding = options.padding[axis];
    const std::int64_t stride = options.stride[axis] == 0 ? kernel : options.stride[axis];
    const std::int64_t reach = checked_multiply(options.dilation[axis], kernel - 1, "dilation * (kernel - 1)");
    if (2 * padding > kernel) {
      fail<ShapeError>(
          op, fmt::format("padding {} is more than half of the kernel {}: a window could lie wholly in the padding",
                          padding, kernel));
    }
    const std::int64_t room = padded_size(op, x, in, 2 * padding) - reach - 1;
    // In ceil mode a window may hang over the end by less than a stride, if it begins inside or in the padding before.
    const bool hangs_over = options.ceil_mode && in > 0 && room > -stride;
    if (room < 0 && !hangs_over) {
      fail<ShapeError>(
          op,
          fmt::format("a window of {} with dilation {} does not fit into size {} (axis {} of input {}) with padding {}",
                      kernel, options.dilation[axis], in, axis + lead, x.shape().text(), padding));
    }
    std::int64_t out = room < 0 ? 1 : room / stride + 1;
    if (room >= 0 && options.ceil_mode && room % stride != 0 && out <= (in + padding - 1) / stride)
      ++out;  // the last window must begin inside
    problem.in[at] = in;
    problem.kernel[at] = kernel;
    problem.stride[at] = stride;
    problem.padding[at] = padding;
    problem.dilation[at] = options.dilation[axis];
    problem.out[at] = out;
  }
  return problem;
}

Pooled pool(const PoolProblem& problem, const Array& x, int rank, bool want_offsets) {
  Dims sizes = x.shape();
  for (int axis = 0; axis < rank; ++axis)
    sizes[x.rank() - rank + axis] = problem.out[static_cast<std::size_t>(axis + 3 - rank)];
  const ConvLayout layout = layout_of(problem);
  const Array source = in_layout(x, layout);
  Pooled result{new_array(Shape(sizes), x.dtype(), x.device(), layout), {}};
  if (want_offsets && problem.kind == PoolProblem::Kind::max)
    result.offsets = new_array(Shape(sizes), problem.offset_dtype(), x.device(), layout);
  count_operations(x.numel());
  x.device().backend().pool(problem, source, result.y, result.offsets);
  return result;
}

Array pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Shape& x_shape) {
  const ConvLayout layout = layout_of(problem);
  const Array source = in_layout(grad, layout), dx = new_array(x_shape, grad.dtype(), grad.device(), layout);
  count_operations(dx.numel());
  grad.device().backend().pool_gradient(problem, source, offsets, dx);
  return dx;
}

}  // namespace mnemo
