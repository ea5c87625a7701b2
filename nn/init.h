// How parameters begin: memory tagged as a parameter, filled as users know it.
#pragma once

#include <mnemo/autograd/tensor.h>

namespace mnemo::nn {

/// A leaf that requires a gradient, uniform in [-bound, bound), on the current device.
Tensor uniform_parameter(const Shape& shape, double bound);
/// A leaf that requires a gradient, normal with mean 0.
Tensor normal_parameter(const Shape& shape, double deviation);
/// A leaf that requires a gradient, with one value everywhere.
Tensor constant_parameter(const Shape& shape, double value);
/// State that is not trained.
Tensor constant_buffer(const Shape& shape, double value);

/// The bound of Kaiming's uniform initialization with a = sqrt(5), which convolutions and linear layers use for weight
/// and bias alike: sqrt(6 / ((1 + a^2) fan_in)) = 1 / sqrt(fan_in). (He et al., Delving deep into rectifiers, 2015.)
double kaiming_bound(std::int64_t fan_in);

}  // namespace mnemo::nn
