#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/latest_plans.h>

namespace mnemo {

namespace {

/// What is left of the operation for its gradient.
struct Kept {
  ConvProblem problem;
  Saved x, weight;
  std::shared_ptr<LatestPlans> plans;  ///< of the layer, which may be gone by then
};

void give_gradients(Backward& back, Kept& kept, const Array& g) {
  const auto data = [&] {
    if (back.needs(0)) back.give(0, conv_data_gradient(kept.problem, g, kept.weight.get(), kept.plans.get()));
  };
  // An input that was brought back goes before its gradient, of the same size, comes; but for a residual block's, which
  // its own gradient needs still. Where the input is there anyway its gradient comes first: that of the weight, which
  // stays, would take a piece out of the memory that fits the larger one.
  const bool goes = back.is_last() && kept.x.is_restored();
  if (!goes) data();
  if (back.needs(1)) back.give(1, conv_weight_gradient(kept.problem, kept.x.get(), g, kept.plans.get()));
  if (goes) {
    kept.x = Saved();
    data();
  }
  const unsigned all_but_channels = ((1u << g.rank()) - 1) & ~2u;
  if (back.needs(2)) back.give(2, reduce(ReduceOp::sum, g, all_but_channels, false));
}

/// Saved before the work is done: a recomputation that needs nothing more ends here.
Kept keep(const char* op, int spatial_rank, const Tensor& x, const Tensor& weight, const Tensor& bias,
          const ConvOptions& options) {
  const bool wanted = options.plans != nullptr && (needs_grad(x) || needs_grad(weight));
  return {conv_problem(op, x.array(), weight.array(), bias.array(), spatial_rank, options),
          save_if(needs_grad(weight), x.array()), save_if(needs_grad(x), weight.array()),
          wanted ? options.plans->shared_from_this() : nullptr};
}

Tensor convolution(const char* op, int spatial_rank, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   const ConvOptions& options) {
  if (const OperandCast cast(op, {&x, &weight, &bias}); cast)
    return convolution(op, spatial_rank, cast.for_conv(x), cast.for_conv(weight), cast(bias), options);
  const Operation operation(op);
  Kept kept = keep(op, spatial_rank, x, weight, bias, options);
  Array y =
      output_of([&] { return conv(kept.problem, x.array(), weight.array(), bias.array(), false, options.plans); });
  return record({&x, &weight, &bias}, std::move(y),
                [kept = std::move(kept)](Backward& back) mutable { give_gradients(back, kept, back.grad()); });
}

Tensor convolution_relu(const char* op, int spatial_rank, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvOptions& options, bool keep_signs) {
  if (const OperandCast cast(op, {&x, &weight, &bias}); cast)
    return convolution_relu(op, spatial_rank, cast.for_conv(x), cast.for_conv(weight), cast(bias), options, keep_signs);
  const Operation operation(op);
  Kept kept = keep(op, spatial_rank, x, weight, bias, options);
  Array y =
      output_of([&] { return conv(kept.problem, x.array(), weight.array(), bias.array(), true, options.plans); });
  const bool wanted = (needs_grad(x) || needs_grad(weight) || needs_grad(bias)) && y.numel() > 0;
  Saved signs = wanted && keep_signs ? Saved(sign_bits(y)) : Saved(), result = save_if(wanted && !keep_signs, y);
  return record({&x, &weight, &bias}, y,
                [kept = std::move(kept), layout = y.layout(), signs = std::move(signs),
                 result = std::move(result)](Backward& back) mutable {
                  Array g = back.take_grad();
                  if (signs.defined()) g = keep_bits(std::move(g), signs.get(), layout);
                  if (result.defined()) g = map_gradient(UnaryOp::relu, std::move(g), result.get());
                  if (back.is_last()) result = Saved();
                  give_gradients(back, kept, g);
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

Tensor conv1d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options,
                   bool keep_signs) {
  return convolution_relu("conv1d_relu", 1, x, weight, bias, options, keep_signs);
}
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options,
                   bool keep_signs) {
  return convolution_relu("conv2d_relu", 2, x, weight, bias, options, keep_signs);
}
Tensor conv3d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options,
                   bool keep_signs) {
  return convolution_relu("conv3d_relu", 3, x, weight, bias, options, keep_signs);
}

}  // namespace mnemo
