// The dynamic map of 8-bit optimizer states: 256 numbers in [-1, 1] (or [0, 1]) that are close together near 0, so that
// a block's small and large values keep about equal relative precision.
#pragma once

#include <array>
#include <cstdint>

#include <mnemo/core/host_device.h>

namespace mnemo {

/// Ascending. Dettmers et al., 8-bit Optimizers via Block-wise Quantization (arXiv 2110.02861), section 1.3: leading
/// zeros are a decimal exponent, the bits behind them a linear fraction of [0.1, 1], of which the midpoints stand in
/// the map; 0 and 1 are added. Without a sign its bit refines the fraction.
using DynamicMap = std::array<float, 256>;
const DynamicMap& signed_map();
const DynamicMap& unsigned_map();

/// The place of the number in the map that is nearest to `value`; of two equally near ones the smaller.
template <class T>
MNEMO_HOST_DEVICE std::uint8_t nearest_code(const DynamicMap& map, T value) {
  int low = 0, high = 255;  // map[low] <= value < map[high], outside values aside
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (static_cast<T>(map[static_cast<std::size_t>(middle)]) <= value)
      low = middle;
    else
      high = middle;
  }
  const T below = static_cast<T>(map[static_cast<std::size_t>(low)]);
  const T above = static_cast<T>(map[static_cast<std::size_t>(high)]);
  return static_cast<std::uint8_t>(value - below <= above - value ? low : high);
}

}  // namespace mnemo
