// Transposed convolution: the data gradient of a convolution as forward pass, and that convolution as its gradient.
#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/planning/latest_plans.h>

namespace mnemo {

namespace {

void check_operands(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, int rank,
                    std::int64_t groups) {
  check_floating(op, x.array());
  check_same_device(op, x.array(), weight.array());
  check_dtype(op, "the weight", weight.array(), x.dtype());
  if (x.rank() != rank + 2 || weight.rank() != rank + 2) {
    fail<ShapeError>(
        op,
        fmt::format("input {} and weight {} must have {} dimensions: (N, C, {} sizes) and (C, out/groups, {} sizes)",
                    x.shape().text(), weight.shape().text(), rank + 2, rank, rank));
  }
  if (weight.size(0) != x.size(1) || groups < 1 || x.size(1) % groups != 0) {
    fail<ShapeError>(op, fmt::format("weight {} must begin with the {} channels of input {}, which groups {} divides",
                                     weight.shape().text(), x.size(1), x.shape().text(), groups));
  }
  if (!bias.defined()) return;
  check_same_device(op, x.array(), bias.array());
  check_dtype(op, "the bias", bias.array(), x.dtype());
  const std::int64_t out = checked_multiply(weight.size(1), groups, "out / groups * groups");
  if (!(bias.shape() == Shape{out})) {
    fail<ShapeError>(op, fmt::format("bias {} must have one element for each of the {} output channels of {}",
                                     bias.shape().text(), out, weight.shape().text()));
  }
}

/// The convolution of which this is the data gradient: from the result, its `in`, to the operand, its `out`.
ConvProblem problem_of(const char* op, const Tensor& x, const Tensor& weight, int rank,
                       const ConvTransposeOptions& options) {
  check_extent(op, "stride", options.stride, rank, 1);
  check_extent(op, "dilation", options.dilation, rank, 1);
  check_extent(op, "padding", options.padding, rank, 0);
  check_extent(op, "output_padding", options.output_padding, rank, 0);
  ConvProblem problem;
  problem.batch = x.size(0);
  problem.in_channels = checked_multiply(weight.size(1), options.groups, "out / groups * groups");
  problem.out_channels = x.size(1);
  problem.groups = options.groups;
  problem.dtype = x.dtype();
  problem.spatial_rank = rank;
  for (int axis = 0; axis < rank; ++axis) {
    const auto at = static_cast<std::size_t>(axis + 3 - rank);
    const std::int64_t size = x.size(axis + 2), kernel = weight.size(axis + 2), stride = options.stride[axis];
    const std::int64_t padding = options.padding[axis], more = options.output_padding[axis];
    if (size < 1 || kernel < 1) {
      fail<ShapeError>(op, fmt::format("input {} and weight {} must not be empty along axis {}", x.shape().text(),
                                       weight.shape().text(), axis + 2));
    }
    if (more >= stride) {
      fail<ShapeError>(op, fmt::format("output_padding {} must be less than the stride {}: it chooses among the sizes "
                                       "that a convolution with that stride makes one",
                                       more, stride));
    }
    const std::int64_t reach = checked_multiply(options.dilation[axis], kernel - 1, "dilation * (kernel - 1)");
    const std::int64_t spread = checked_multiply(size - 1, stride, "(size - 1) * stride");
    const std::int64_t out = padded_size(op, x.array(), spread, reach) - 2 * padding + more + 1;
    if (out < 1) {
      fail<ShapeError>(op, fmt::format("padding {} leaves nothing of size {} (axis {} of input {}) with a kernel of {}",
                                       padding, size, axis + 2, x.shape().text(), kernel));
    }
    problem.in[at] = out;
    problem.out[at] = size;
    problem.kernel[at] = kernel;
    problem.stride[at] = stride;
    problem.padding[at] = padding;
    problem.dilation[at] = options.dilation[axis];
  }
  return problem;
}

Tensor transposed(const char* op, int rank, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const ConvTransposeOptions& options) {
  if (const OperandCast cast(op, {&x, &weight, &bias}); cast)
    return transposed(op, rank, cast.for_conv(x), cast.for_conv(weight), cast(bias), options);
  const Operation operation(op);
  check_operands(op, x, weight, bias, rank, options.groups);
  const ConvProblem problem = problem_of(op, x, weight, rank, options);
  Array y = conv_data_gradient(problem, x.array(), weight.array(), options.plans);
  if (bias.defined()) {
    Dims column{bias.numel()};
    for (int axis = 0; axis < rank; ++axis) column.push_back(1);
    map_into(BinaryOp::add, y, bias.array().reshape(column), y);
  }
  const bool wanted = options.plans != nullptr && (needs_grad(x) || needs_grad(weight));
  return record({&x, &weight, &bias}, std::move(y),
                [problem, x = save_if(needs_grad(weight), x.array()), weight = save_if(needs_grad(x), weight.array()),
                 plans = wanted ? options.plans->shared_from_this() : nullptr](Backward& back) {
                  const Array& g = back.grad();
                  if (back.needs(0)) back.give(0, conv(problem, g, weight.get(), {}, false, plans.get()));
                  if (back.needs(1)) back.give(1, conv_weight_gradient(problem, g, x.get(), plans.get()));
                  const unsigned all_but_channels = ((1u << g.rank()) - 1) & ~2u;
                  if (back.needs(2)) back.give(2, reduce(ReduceOp::sum, g, all_but_channels, false));
                });
}

}  // namespace

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTransposeOptions& options) {
  return transposed("conv_transpose1d", 1, x, weight, bias, options);
}
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTransposeOptions& options) {
  return transposed("conv_transpose2d", 2, x, weight, bias, options);
}
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTransposeOptions& options) {
  return transposed("conv_transpose3d", 3, x, weight, bias, options);
}

}  // namespace mnemo
