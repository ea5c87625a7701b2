#include <mnemo/cuda/cudnn/conv_graph.h>

#include <algorithm>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo::cuda {

namespace {

using Sizes = std::vector<std::int64_t>;

cudnnDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return CUDNN_DATA_DOUBLE;
    case DType::float32:
      return CUDNN_DATA_FLOAT;
    case DType::float16:
      return CUDNN_DATA_HALF;
    case DType::bfloat16:
      return CUDNN_DATA_BFLOAT16;
    default:
      break;
  }
  throw DTypeError(
      fmt::format("[conv] a convolution of {} is not supported; cast to a floating dtype", mnemo::name(dtype)));
}

/// How many spatial sizes the library is told: it has no one-dimensional convolution, which becomes 1 x L.
int told_rank(const ConvProblem& problem) { return std::max(problem.spatial_rank, 2); }

Sizes told(const ConvProblem& problem, const Size3& sizes) { return {sizes.end() - told_rank(problem), sizes.end()}; }

Sizes told(const ConvProblem& problem, std::int64_t first, std::int64_t second, const Size3& sizes) {
  Sizes dims{first, second};
  dims.insert(dims.end(), sizes.end() - told_rank(problem), sizes.end());
  return dims;
}

Sizes strides(const Sizes& dims, ConvLayout layout) {
  Sizes strides(dims.size());
  std::int64_t step = 1;
  auto take = [&](std::size_t axis) {
    strides[axis] = step;
    step *= dims[axis];
  };
  if (layout == ConvLayout::channels_last) take(1);
  for (std::size_t axis = dims.size() - 1; axis >= 2; --axis) take(axis);
  if (layout == ConvLayout::contiguous) take(1);
  take(0);
  return strides;
}

Descriptor tensor(std::int64_t id, const Sizes& dims, const ConvQuery& query) {
  constexpr std::int64_t kAlignment = 16;  // The allocator's blocks start at multiples of 512.
  const Sizes steps = strides(dims, query.layout);
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type(query.problem.dtype), "a tensor's type");
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(dims), "a tensor's sizes");
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(steps), "a tensor's strides");
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id, "a tensor's number");
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment, "a tensor's alignment");
  tensor.finalize("a tensor");
  return tensor;
}

/// Zeros behind the last element. As many as before the first where that gives the same output: some engines want that.
Sizes padding_behind(const ConvProblem& problem) {
  Size3 behind = problem.padding;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::int64_t reach = problem.dilation[d] * (problem.kernel[d] - 1) + 1;
    const std::int64_t free = problem.in[d] + 2 * problem.padding[d] - reach;
    if (free >= 0 && free / problem.stride[d] + 1 == problem.out[d]) continue;
    behind[d] = (problem.out[d] - 1) * problem.stride[d] + reach - problem.in[d] - problem.padding[d];
  }
  return told(problem, behind);
}

Descriptor convolution(const ConvProblem& problem) {
  const auto compute = problem.dtype == DType::float64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  const std::int64_t rank = told_rank(problem);
  const Sizes dilation = told(problem, problem.dilation), stride = told(problem, problem.stride);
  const Sizes before = told(problem, problem.padding), behind = padding_behind(problem);
  Descriptor conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, compute, "the compute type");
  conv.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION, "the mode");
  conv.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, rank, "the number of sizes");
  conv.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const std::int64_t>(dilation), "the dilation");
  conv.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const std::int64_t>(stride), "the stride");
  conv.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const std::int64_t>(before), "the padding");
  conv.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const std::int64_t>(behind), "the padding behind");
  conv.finalize("a convolution");
  return conv;
}

/// What the library calls the parts of a pass's operation.
struct Operation {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, conv, alpha, beta;
};

Operation operation(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvPass::data_gradient:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvPass::weight_gradient:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// out = 1 * conv + 0 * out, in the compute type.
template <class T>
void set_scaling(Descriptor& node, const Operation& names) {
  node.set(names.alpha, T{1}, "alpha");
  node.set(names.beta, T{0}, "beta");
}

}  // namespace

std::optional<Descriptor> conv_graph(const ConvQuery& query, std::string& refusal, cudnnHandle_t handle) {
  const ConvProblem& problem = query.problem;
  const Descriptor x = tensor(1, told(problem, problem.batch, problem.in_channels, problem.in), query);
  const Descriptor w =
      tensor(2, told(problem, problem.out_channels, problem.in_channels / problem.groups, problem.kernel), query);
  const Descriptor y = tensor(3, told(problem, problem.batch, problem.out_channels, problem.out), query);
  const Descriptor conv = convolution(problem);
  const Operation names = operation(query.pass);
  Descriptor node(names.type);
  node.set(names.x, x, "the input");
  node.set(names.w, w, "the weight");
  node.set(names.y, y, "the output");
  node.set(names.conv, conv, "the convolution");
  if (problem.dtype == DType::float64) {
    set_scaling<double>(node, names);
  } else {
    set_scaling<float>(node, names);
  }
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle, "the graph's device");
  for (const auto& [descriptor, what] : {std::pair{&node, "the operation"}, std::pair{&graph, "the graph"}}) {
    if (descriptor == &graph) graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, node, "the graph's operation");
    const cudnnStatus_t status = descriptor->try_finalize();
    if (is_refusal(status)) {
      refusal = cudnn_text(Descriptor::library(), status);
      return std::nullopt;
    }
    check_cudnn(Descriptor::library(), status, what);
  }
  return graph;
}

}  // namespace mnemo::cuda
