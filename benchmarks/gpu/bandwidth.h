// What large operations make of a device's memory: bytes that an ideal kernel moves, over the time that was taken.
#pragma once

#include <string>
#include <vector>

#include <mnemo/core/device.h>
#include <mnemo/core/dtype.h>
#include <mnemo/memory/bytes.h>

#include "clock.h"

namespace mnemo::bench {

struct Bandwidth {
  std::string name;
  std::string formula;  ///< what is moved, for an array of N bytes
  DType dtype = DType::float32;
  memory::Bytes array = 0;  ///< N: bytes of the array that it is about
  double moved = 0;         ///< bytes that an ideal kernel reads and writes
  Times times;

  double bytes_per_second() const { return moved / times.median; }
};

/// A contiguous copy within the device of `bytes`, which are read and written.
Bandwidth copy_bandwidth(const Device& device, const ClockOptions& options, memory::Bytes bytes);

/// Every operation on arrays of `bytes`, a multiple of 1 MiB.
std::vector<Bandwidth> bandwidths(const Device& device, const ClockOptions& options, memory::Bytes bytes);

}  // namespace mnemo::bench
