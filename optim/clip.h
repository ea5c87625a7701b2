// Limits to gradients, between backward and the step.
#pragma once

#include <span>

#include <mnemo/autograd/tensor.h>

namespace mnemo::optim {

/// Scales the gradients by min(1, max_norm / (norm + 1e-6)), where norm is that of all their elements together:
/// (sum |g|^p)^(1/p) with p = `norm_type`, or the largest |g| when that is infinite. Returns the norm before (float32,
/// one number), without waiting for the device; nothing of a gradient's size is allocated. Where the norm is not
/// finite, neither are the gradients afterwards. With a GradScaler: after unscale().
/// Throws ConfigError for a max_norm that is negative or not a number, or a norm_type that is not positive; DeviceError
/// for gradients on several devices; GradError for parameters that are updated during backward.
Tensor clip_grad_norm(std::span<const Tensor> parameters, double max_norm, double norm_type = 2);
/// The norm alone.
Tensor grad_norm(std::span<const Tensor> parameters, double norm_type = 2);

}  // namespace mnemo::optim
