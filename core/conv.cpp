#include <mnemo/core/conv.h>

namespace mnemo {

const char* name(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return "forward";
    case ConvPass::data_gradient:
      return "data_gradient";
    case ConvPass::weight_gradient:
      break;
  }
  return "weight_gradient";
}

const char* name(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::direct:
      return "direct";
    case ConvAlgorithm::gemm:
      return "gemm";
    case ConvAlgorithm::library:
      return "library";
    case ConvAlgorithm::split:
      break;
  }
  return "split";
}

const char* name(ConvLayout layout) { return layout == ConvLayout::contiguous ? "contiguous" : "channels_last"; }

ConvPolicy& conv_policy() {
  thread_local ConvPolicy policy;
  return policy;
}

memory::Bytes unfolded_bytes(const ConvProblem& problem) {
  bool is_image = true;
  for (std::size_t d = 0; d < 3; ++d) {
    // The matrix is the image itself only if every output reads the input at its own place.
    is_image = is_image && problem.kernel[d] == 1 && problem.stride[d] == 1 && problem.padding[d] == 0 &&
               problem.out[d] == problem.in[d];
  }
  if (is_image) return 0;
  // A size 0 makes the product 0 however large the others are.
  memory::Bytes bytes = size_of(problem.dtype);
  bool overflow = false;
  auto multiply = [&](std::int64_t factor) {
    if (factor == 0) bytes = 0;
    overflow = __builtin_mul_overflow(bytes, factor, &bytes) || overflow;
    return factor == 0;
  };
  bool empty = multiply(problem.in_channels / problem.groups);
  for (std::size_t d = 0; d < 3; ++d) {
    empty = multiply(problem.kernel[d]) || empty;
    empty = multiply(problem.out[d]) || empty;
  }
  if (empty) return 0;
  return overflow ? std::numeric_limits<memory::Bytes>::max() : bytes;
}

}  // namespace mnemo
