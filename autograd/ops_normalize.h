// What the batch normalizations share: their checks, and how a call becomes gradients.
#pragma once

#include <mnemo/autograd/node.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/backend.h>

namespace mnemo {

/// The call of a batch normalization named `op`, checked; `normalize` is still to come. While a checkpointed region
/// runs again it is without running statistics: a batch counts once.
NormalizeCall batch_norm_call(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                              const Tensor& running_mean, const Tensor& running_variance,
                              const BatchNormOptions& options);
/// Has `normalize` write down the statistics that it uses in evaluation too, as the gradient needs them: the running
/// ones may move on before backward. To be called before it.
void keep_statistics(NormalizeCall& call);
/// The gradient's sizes; arrays are still to be filled in. To be taken before `normalize`.
NormalizeGradientCall gradient_of(const NormalizeCall& call);
/// Computes the gradients that are needed of x (input 0), weight (1) and bias (2), and gives them.
void give_gradients(Backward& back, NormalizeGradientCall& call, DType weight_dtype, DType bias_dtype);

}  // namespace mnemo
