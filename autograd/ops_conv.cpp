#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

Tensor convolution(const char* op, int spatial_rank, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   const ConvOptions& options) {
  if (const OperandCast cast(op, {&x, &weight, &bias}); cast)
    return convolution(op, spatial_rank, cast.for_conv(x), cast.for_conv(weight), cast(bias), options);
  const Operation operation(op);
  const ConvProblem problem = conv_problem(op, x.array(), weight.array(), bias.array(), spatial_rank, options);
  // Saved before the work is done: a recomputation that needs nothing more ends here.
  Saved saved_x = save_if(needs_grad(weight), x.array()), saved_weight = save_if(needs_grad(x), weight.array());
  Array y = output_of([&] { return conv(problem, x.array(), weight.array(), bias.array()); });
  return record({&x, &weight, &bias}, std::move(y),
                [problem, x = std::move(saved_x), weight = std::move(saved_weight)](Backward& back) {
                  const Array& g = back.grad();
                  if (back.needs(0)) back.give(0, conv_data_gradient(problem, g, weight.get()));
                  if (back.needs(1)) back.give(1, conv_weight_gradient(problem, x.get(), g));
                  const unsigned all_but_channels = ((1u << g.rank()) - 1) & ~2u;
                  if (back.needs(2)) back.give(2, reduce(ReduceOp::sum, g, all_but_channels, false));
                });
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options) {
  return convolution("conv1d", 1, x, weight, bias, options);
}
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options) {
  return convolution("conv2d", 2, x, weight, bias, options);
}
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options) {
  return convolution("conv3d", 3, x, weight, bias, options);
}

}  // namespace mnemo
