// conv: the card's library or one of mnemo's own algorithms, as was decided.
#include <mnemo/cuda/device/backend.h>
#include <mnemo/cuda/device/conv_runner.h>
#include <mnemo/cuda/kernels/multiply.h>

namespace mnemo::cuda {

namespace {

/// y += bias, one number for each channel.
void add_bias(CudaBackend& backend, const ConvCall& call) {
  Array bias = call.bias.unsqueeze(0);
  while (bias.rank() < call.y.rank()) bias = bias.unsqueeze(bias.rank());
  backend.binary(BinaryOp::add, call.y, bias.expand(call.y.shape()), call.y);
}

}  // namespace

void CudaBackend::conv(const ConvCall& call) {
  if (call.plan.algorithm == ConvAlgorithm::library) {
    if (conv_->run(*this, call)) return;
    if (call.bias.defined()) add_bias(*this, call);
  } else {
    compute_itself(call);
  }
  if (call.relu) unary(UnaryOp::relu, {}, call.y, call.y);
}

void CudaBackend::compute_itself(const ConvCall& call) {
  // Where every image is its own unfolded matrix there is no workspace. A sum over images in a half type must not round
  // after each, and floats for all of it would need memory that nobody sees.
  const bool is_empty = call.x.numel() == 0 || call.w.numel() == 0 || call.y.numel() == 0;
  const bool sums_images = call.pass == ConvPass::weight_gradient && call.problem.batch > 1;
  if (call.plan.algorithm == ConvAlgorithm::gemm && !is_empty && !(sums_images && is_half(call.problem.dtype)))
    return conv_gemm(*this, call);
  conv_direct(*this, call);
}

}  // namespace mnemo::cuda
