// The same array twice, on the CPU and on the GPU, with all bytes around it: what one backend makes is compared with
// what the other makes.
#pragma once

#include <vector>

#include "core/views.h"
#include "cuda_device.h"

namespace mirror {

using mnemo::Array;
using mnemo::Device;
using mnemo::DType;
using mnemo::Layout;

/// The array with its whole storage on another device.
inline Array moved(const Array& array, const Device& device) {
  if (array.storage()->bytes() == 0) return Array(array.shape(), array.dtype(), device);
  const Array bytes(array.storage(), Layout::contiguous({array.storage()->bytes()}), DType::uint8);
  return {bytes.to(device).storage(), array.layout(), array.dtype()};
}

/// Whether both hold the same bytes, in gaps too, but for what NaN looks like and for the sign of zero.
inline bool same(const Array& cpu, const Array& cuda) {
  const Array back = moved(cuda, Device("cpu"));
  return views::same_values(views::elements(cpu), views::elements(back)) &&
         !views::gaps_changed(back, views::memory_of(cpu));
}

/// Whether they are equal but for some rounding of values of up to `magnitude`. Both are rounded: where what they round
/// differs a little, so may they by a whole step.
inline bool close(const Array& cpu, const Array& cuda, double magnitude, double slack = 8) {
  const Array back = moved(cuda, Device("cpu"));
  const auto expected = views::elements(cpu);
  std::vector<double> magnitudes;
  for (double value : expected) magnitudes.push_back(std::isfinite(value) ? std::max(std::abs(value), magnitude) : 0);
  return numbers::error_of(back, expected, magnitudes, slack, 2.02) <= 1 &&
         !views::gaps_changed(back, views::memory_of(cpu));
}

}  // namespace mirror
