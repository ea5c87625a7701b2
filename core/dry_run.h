// Dry runs: what a program needs of a device's memory, found by running it on a virtual one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <mnemo/core/device.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/memory/config.h>

namespace mnemo {

/// What a program did to the memory of a device of its own. Bytes.
struct DryRun {
  memory::Bytes peak_allocated = 0;
  memory::Bytes peak_reserved = 0;
  memory::Bytes needed = 0;                 ///< the highest that `allocated` was, workspaces left out
  std::optional<OutOfMemory> failure = {};  ///< the program ended with it

  bool fits() const { return !failure; }
};

/// Runs `program` with a new device `name` as the current one, of which nothing is left afterwards; the program's
/// random numbers stay where they were. An OutOfMemory of that device is part of the answer, whatever else is thrown is
/// thrown. On a virtual device no arithmetic is done, and memory is that of the device it stands for.
DryRun dry_run(const std::string& name, const std::function<void()>& program,
               const memory::AllocatorConfig& config = memory::AllocatorConfig::from_environment());

/// The name of the same virtual device with more memory than anyone needs: "virtual:h200" becomes
/// "virtual:h200,4503599627370496", "virtual:cpu:2GiB" becomes "virtual:cpu".
std::string without_limit(const std::string& virtual_device);

}  // namespace mnemo
