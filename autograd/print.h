// Tensors as text, for people: std::cout << net.weight;
#pragma once

#include <iosfwd>
#include <string>

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// "[[0.5, -1], [2, 3.25]] float32 (2, 2) on cpu", with four digits; of a tensor of more than 1000 elements, the first
/// and the last three along each axis. Nobody knows the values on a virtual device: dtype, shape and device alone. Waits
/// for the device.
std::string text(const Tensor& tensor);
std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

}  // namespace mnemo
