// Ranges for NVIDIA's profilers. Private.
#pragma once

namespace mnemo::cuda {

/// Steps, phases and modules become NVTX ranges from now on, if a profiler is attached or MNEMO_NVTX is set. Without a
/// profiler NVTX's calls do nothing.
void announce_ranges();

}  // namespace mnemo::cuda
