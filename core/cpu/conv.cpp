#include <mnemo/core/cpu/conv.h>

#include <cassert>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/cpu/matmul.h>

namespace mnemo::cpu {

namespace {

/// Kernel 1, stride 1, no padding, one group: every image is the matrix, and all of them are one batch of products.
bool is_product(const ConvProblem& p) {
  constexpr Size3 one{1, 1, 1}, zero{0, 0, 0};
  return p.groups == 1 && p.kernel == one && p.stride == one && p.padding == zero && p.in == p.out;
}

// The weight gradient is left out: it sums over the batch.
void conv_product(const ConvCall& call) {
  const ConvProblem& p = call.problem;
  const std::int64_t size = p.in[0] * p.in[1] * p.in[2];
  visit_floating(p.dtype, [&](auto zero) {
    using E = decltype(zero);
    const Matrix x{call.x.data<E>(), size, 1, p.in_channels * size},
        y{call.y.data<E>(), size, 1, p.out_channels * size};
    E* const w = call.w.data<E>();
    if (call.pass == ConvPass::forward) {
      multiply({.dtype = p.dtype,
                .batch = p.batch,
                .rows = p.out_channels,
                .columns = size,
                .depth = p.in_channels,
                .a = {w, p.in_channels, 1, 0},
                .b = x,
                .out = y,
                .bias = {call.bias.defined() ? call.bias.data<E>() : nullptr, 1}});
    } else {
      multiply({.dtype = p.dtype,
                .batch = p.batch,
                .rows = p.in_channels,
                .columns = size,
                .depth = p.out_channels,
                .a = {w, 1, p.in_channels, 0},
                .b = y,
                .out = x});
    }
  });
}

}  // namespace

void CpuBackend::conv(const ConvCall& call) {
  assert(call.plan.algorithm != ConvAlgorithm::library);
  if (is_product(call.problem) && call.pass != ConvPass::weight_gradient) {
    conv_product(call);
  } else if (call.plan.algorithm == ConvAlgorithm::gemm && call.workspace.defined()) {
    conv_gemm(call);
  } else {
    conv_direct(call);  // also gemm without anything to unfold
  }
  if (call.relu) unary(UnaryOp::relu, {}, call.y, call.y);
}

}  // namespace mnemo::cpu
