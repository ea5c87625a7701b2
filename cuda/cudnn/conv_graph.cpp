#include <mnemo/cuda/cudnn/conv_graph.h>

#include <algorithm>
#include <limits>

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

cudnnDataType_t compute_type(DType dtype) { return dtype == DType::float64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT; }

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

Descriptor tensor(Operand operand, const Sizes& dims, const ConvQuery& query) {
  constexpr std::int64_t kAlignment = 16;  // The allocator's blocks start at multiples of 512.
  // What lies between the operations of a graph is never written, and is as precise as what is computed.
  const bool is_between = operand == Operand::product || operand == Operand::biased;
  const cudnnDataType_t type = is_between ? compute_type(query.problem.dtype) : data_type(query.problem.dtype);
  const Sizes steps = strides(dims, query.layout);
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type, "a tensor's type");
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(dims), "a tensor's sizes");
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(steps), "a tensor's strides");
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, static_cast<std::int64_t>(operand), "a tensor's number");
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment, "a tensor's alignment");
  if (is_between) tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true, "a tensor between operations");
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
  const std::int64_t rank = told_rank(problem);
  const Sizes dilation = told(problem, problem.dilation), stride = told(problem, problem.stride);
  const Sizes before = told(problem, problem.padding), behind = padding_behind(problem);
  Descriptor conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, compute_type(problem.dtype), "the compute type");
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

/// to = from + bias, or to = max(from, 0) where there is no bias.
Descriptor pointwise(const ConvQuery& query, const Descriptor& from, const Descriptor* bias, const Descriptor& to) {
  Descriptor mode(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  mode.set(CUDNN_ATTR_POINTWISE_MODE, bias != nullptr ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD, "an operation");
  mode.set(CUDNN_ATTR_POINTWISE_MATH_PREC, compute_type(query.problem.dtype), "its compute type");
  if (bias == nullptr) {
    // As mnemo's own: NaN and infinity pass. A library that does not know the words does nothing else.
    constexpr auto kNan = CUDNN_PROPAGATE_NAN;
    constexpr double kClip = std::numeric_limits<double>::infinity();
    const CudnnLibrary& library = Descriptor::library();
    library.set_attribute(mode.handle(), CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &kNan);
    library.set_attribute(mode.handle(), CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &kClip);
  }
  mode.finalize("an operation behind a convolution");
  Descriptor node(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  node.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode, "the operation behind");
  node.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from, "its input");
  if (bias != nullptr) node.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *bias, "the bias");
  node.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to, "its output");
  node.finalize("the operation behind");
  return node;
}

/// What the library says of a descriptor: true, or false and its words.
bool is_taken(Descriptor& descriptor, const char* what, std::string& refusal) {
  const cudnnStatus_t status = descriptor.try_finalize();
  if (is_refusal(status)) {
    refusal = cudnn_text(Descriptor::library(), status);
    return false;
  }
  check_cudnn(Descriptor::library(), status, what);
  return true;
}

}  // namespace

std::optional<Descriptor> conv_graph(const ConvQuery& query, std::string& refusal, cudnnHandle_t handle,
                                     const ConvEpilogue& epilogue) {
  const ConvProblem& problem = query.problem;
  const Sizes before = told(problem, problem.padding);
  if (std::any_of(before.begin(), before.end(), [](std::int64_t padding) { return padding < 0; })) {
    refusal = "a piece of a convolution begins behind its input, and the library knows no negative padding";
    return std::nullopt;
  }
  const Sizes out = told(problem, problem.batch, problem.out_channels, problem.out);
  const Descriptor x = tensor(Operand::x, told(problem, problem.batch, problem.in_channels, problem.in), query);
  const Descriptor w = tensor(
      Operand::w, told(problem, problem.out_channels, problem.in_channels / problem.groups, problem.kernel), query);
  const Descriptor product = tensor(epilogue.is_empty() ? Operand::y : Operand::product, out, query);
  const Descriptor conv = convolution(problem);
  const Operation names = operation(query.pass);
  Descriptor node(names.type);
  node.set(names.x, x, "the input");
  node.set(names.w, w, "the weight");
  node.set(names.y, product, "the output");
  node.set(names.conv, conv, "the convolution");
  if (problem.dtype == DType::float64) {
    set_scaling<double>(node, names);
  } else {
    set_scaling<float>(node, names);
  }
  if (!is_taken(node, "the operation", refusal)) return std::nullopt;
  std::vector<Descriptor> parts, tensors;  // which live until the graph is made
  const Descriptor* last = &product;
  tensors.reserve(3);
  if (epilogue.bias) {
    const Descriptor& bias =
        tensors.emplace_back(tensor(Operand::bias, told(problem, 1, problem.out_channels, {1, 1, 1}), query));
    const Descriptor& sum = tensors.emplace_back(tensor(epilogue.relu ? Operand::biased : Operand::y, out, query));
    parts.push_back(pointwise(query, *last, &bias, sum));
    last = &sum;
  }
  if (epilogue.relu)
    parts.push_back(pointwise(query, *last, nullptr, tensors.emplace_back(tensor(Operand::y, out, query))));
  std::vector<cudnnBackendDescriptor_t> nodes{node.handle()};
  for (const Descriptor& part : parts) nodes.push_back(part.handle());
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle, "the graph's device");
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const cudnnBackendDescriptor_t>(nodes), "the graph's operations");
  if (!is_taken(graph, "the graph", refusal)) return std::nullopt;
  return graph;
}

}  // namespace mnemo::cuda
