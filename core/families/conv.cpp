#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/conv_run.h>

namespace mnemo {

namespace {

void check_operands(const char* op, const Array& x, const Array& w, const Array& bias, int rank, std::int64_t groups) {
  check_floating(op, x);
  check_same_device(op, x, w);
  check_dtype(op, "the weight", w, x.dtype());
  if (x.rank() != rank + 2 || w.rank() != rank + 2) {
    fail<ShapeError>(
        op,
        fmt::format("input {} and weight {} must have {} dimensions: (N, C, {} sizes) and (out, C/groups, {} sizes)",
                    x.shape().text(), w.shape().text(), rank + 2, rank, rank));
  }
  if (groups < 1 || x.size(1) % groups != 0 || w.size(0) % groups != 0) {
    fail<ShapeError>(
        op, fmt::format(
                "groups {} must be positive and divide the {} input channels of {} and the {} output channels of {}",
                groups, x.size(1), x.shape().text(), w.size(0), w.shape().text()));
  }
  if (w.size(1) != x.size(1) / groups) {
    fail<ShapeError>(
        op, fmt::format("input {} has {} channels, {} for each of {} groups, but weight {} takes {}", x.shape().text(),
                        x.size(1), x.size(1) / groups, groups, w.shape().text(), w.size(1)));
  }
  if (!bias.defined()) return;
  check_same_device(op, x, bias);
  check_dtype(op, "the bias", bias, x.dtype());
  if (!(bias.shape() == Shape{w.size(0)})) {
    fail<ShapeError>(op, fmt::format("bias {} must have one element for each of the {} output channels of {}",
                                     bias.shape().text(), w.size(0), w.shape().text()));
  }
}

/// The sizes of a side of the convolution in the rank that the caller knows.
Shape outer_shape(std::int64_t first, std::int64_t second, const Size3& sizes, int rank) {
  Dims dims{first, second};
  for (int axis = 3 - rank; axis < 3; ++axis) dims.push_back(sizes[static_cast<std::size_t>(axis)]);
  return Shape(dims);
}

ConvLayout layout_for(const ConvProblem& problem, const Device& device) {
  return device.backend().decisions().conv_layout(problem.dtype, conv_policy());
}

}  // namespace

ConvProblem conv_problem(const char* op, const Array& x, const Array& w, const Array& bias, int rank,
                         const ConvOptions& options) {
  check_defined(op, x);
  check_defined(op, w);
  check_operands(op, x, w, bias, rank, options.groups);
  check_extent(op, "stride", options.stride, rank, 1);
  check_extent(op, "dilation", options.dilation, rank, 1);
  check_extent(op, "padding", options.padding.extent(), rank, 0);
  const std::string_view word = options.padding.word();
  if (!word.empty() && word != "same" && word != "valid") {
    fail<ShapeError>(op, fmt::format("padding \"{}\" is neither numbers, \"same\" nor \"valid\"", word));
  }
  ConvProblem problem;
  problem.batch = x.size(0);
  problem.in_channels = x.size(1);
  problem.out_channels = w.size(0);
  problem.groups = options.groups;
  problem.dtype = x.dtype();
  problem.spatial_rank = rank;
  for (int axis = 0; axis < rank; ++axis) {
    const auto at = static_cast<std::size_t>(axis + 3 - rank);
    const std::int64_t in = x.size(axis + 2), kernel = w.size(axis + 2), stride = options.stride[axis];
    const std::int64_t reach = checked_multiply(options.dilation[axis], kernel - 1, "dilation * (kernel - 1)");
    std::int64_t before = options.padding.extent()[axis], total = 2 * before;
    if (kernel < 1) fail<ShapeError>(op, fmt::format("weight {} has an empty kernel", w.shape().text()));
    if (word == "same") {
      if (stride != 1) fail<ShapeError>(op, fmt::format("padding \"same\" needs stride 1, not {}", stride));
      total = reach;
      before = reach / 2;
    }
    const std::int64_t padded = padded_size(op, x, in, total);
    if (padded - reach < 1) {
      fail<ShapeError>(
          op, fmt::format(
                  "a kernel of {} with dilation {} does not fit into size {} (axis {} of input {}) with padding {}; "
                  "make the input larger or add padding",
                  kernel, options.dilation[axis], in, axis + 2, x.shape().text(), before));
    }
    problem.in[at] = in;
    problem.kernel[at] = kernel;
    problem.stride[at] = stride;
    problem.dilation[at] = options.dilation[axis];
    problem.padding[at] = before;
    problem.out[at] = (padded - reach - 1) / stride + 1;
  }
  return problem;
}

Array conv(const ConvProblem& problem, const Array& x, const Array& w, const Array& bias, bool relu,
           LatestPlans* plans) {
  const ConvLayout layout = layout_for(problem, x.device());
  ConvCall call{.problem = problem,
                .pass = ConvPass::forward,
                .plan = {},
                .layout = layout,
                .x = in_layout(x, layout),
                .w = in_layout(w, layout),
                .y = new_array(outer_shape(problem.batch, problem.out_channels, problem.out, problem.spatial_rank),
                               problem.dtype, x.device(), layout),
                .bias = bias.defined() ? bias.contiguous() : Array(),
                .relu = relu,
                .workspace = {}};
  run_conv(call, x.device(), plans);
  return std::move(call.y);
}

Array conv_data_gradient(const ConvProblem& problem, const Array& grad, const Array& w, LatestPlans* plans) {
  const ConvLayout layout = layout_for(problem, grad.device());
  ConvCall call{.problem = problem,
                .pass = ConvPass::data_gradient,
                .plan = {},
                .layout = layout,
                .x = {},
                .w = in_layout(w, layout),
                .y = in_layout(grad, layout),
                .bias = {},
                .workspace = {}};
  call.x = new_array(outer_shape(problem.batch, problem.in_channels, problem.in, problem.spatial_rank), problem.dtype,
                     grad.device(), layout);
  run_conv(call, grad.device(), plans);
  return std::move(call.x);
}

Array conv_weight_gradient(const ConvProblem& problem, const Array& x, const Array& grad, LatestPlans* plans) {
  const ConvLayout layout = layout_for(problem, grad.device());
  ConvCall call{.problem = problem,
                .pass = ConvPass::weight_gradient,
                .plan = {},
                .layout = layout,
                .x = in_layout(x, layout),
                .w = {},
                .y = in_layout(grad, layout),
                .bias = {},
                .workspace = {}};
  call.w = new_array(
      outer_shape(problem.out_channels, problem.in_channels / problem.groups, problem.kernel, problem.spatial_rank),
      problem.dtype, grad.device(), layout);
  run_conv(call, grad.device(), plans);
  return std::move(call.w);
}

}  // namespace mnemo
