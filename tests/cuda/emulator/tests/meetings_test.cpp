// Kernels whose threads do not meet as they should, or that are too large, and their correct twins.
#include <doctest/doctest.h>

#include "launching.h"

using emulator::Finding;
using launching::all_findings;
using launching::Buffer;
using launching::findings;
using launching::start;

namespace {

constexpr unsigned kAll = 0xffffffffu;

/// Threads from `until` on go another way.
__global__ void wait_below(unsigned until, int* out) {
  if (threadIdx.x < until)
    __syncthreads();
  else
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}

/// Threads from `until` on are done before the others wait: they need not come.
__global__ void leave_early(unsigned until, int* out) {
  if (threadIdx.x >= until) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

/// Lanes from `until` on vote while the others exchange.
__global__ void do_different_things(int until, int* out) {
  const int value =
      static_cast<int>(threadIdx.x) < until ? __shfl_xor_sync(kAll, 1, 1) : static_cast<int>(__ballot_sync(kAll, 1));
  out[threadIdx.x] = value;
}

/// Lanes take the values of lanes that are gone.
__global__ void take_from_gone(unsigned until, int* out) {
  if (threadIdx.x >= until) return;
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 16);
}

/// A mask without the lane itself.
__global__ void take_unnamed(unsigned mask, int* out) { out[threadIdx.x] = __shfl_xor_sync(mask, 1, 1); }

template <int BYTES>
__global__ void use_shared(int* out) {
  __shared__ int values[BYTES / 4];
  for (int i = static_cast<int>(threadIdx.x); i < BYTES / 4; i += static_cast<int>(blockDim.x)) values[i] = i;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void do_nothing() {}

}  // namespace

TEST_CASE("cuda: emulation: threads that wait at different barriers are found") {
  const Buffer<int> out(64);
  CHECK(all_findings(1, 64, wait_below, 64, out.data()) == 0);
  CHECK(findings(Finding::Kind::barrier, "different barriers", 1, 64, wait_below, 40, out.data()) == 1);
  CHECK(all_findings(1, 64, leave_early, 40, out.data()) == 0);
}

TEST_CASE("cuda: emulation: lanes of a warp that do not do the same together are found") {
  const Buffer<int> out(64);
  CHECK(all_findings(1, 64, do_different_things, 64, out.data()) == 0);
  CHECK(findings(Finding::Kind::barrier, "in another call", 1, 64, do_different_things, 40, out.data()) == 1);
  CHECK(all_findings(1, 32, take_from_gone, 32, out.data()) == 0);
  CHECK(findings(Finding::Kind::barrier, "does not take part", 1, 32, take_from_gone, 16, out.data()) == 1);
  CHECK(findings(Finding::Kind::barrier, "in another call", 1, 32, take_unnamed, 1, out.data()) > 0);
}

TEST_CASE("cuda: emulation: grids and blocks have limits") {
  CHECK(start(1, 1024, do_nothing) == cudaSuccess);
  CHECK(start(1, 1025, do_nothing) == cudaErrorInvalidConfiguration);
  CHECK(start(1, dim3(1, 1, 65), do_nothing) == cudaErrorInvalidConfiguration);
  CHECK(start(1, dim3(1u << 16, 1u << 16), do_nothing) == cudaErrorInvalidConfiguration);
  CHECK(start(0, 1, do_nothing) == cudaErrorInvalidConfiguration);
  CHECK(start(dim3(1, 65535), 1, do_nothing) == cudaSuccess);
  CHECK(start(dim3(1, 65536), 1, do_nothing) == cudaErrorInvalidConfiguration);
  CHECK(start(0x80000000u, 1, do_nothing) == cudaErrorInvalidConfiguration);
  cudaLaunchConfig_t config;
  config.dynamicSmemBytes = 48 << 10;
  CHECK(cudaLaunchKernelEx(&config, do_nothing) == cudaSuccess);
  config.dynamicSmemBytes += 1;
  CHECK(cudaLaunchKernelEx(&config, do_nothing) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() != cudaSuccess);
}

TEST_CASE("cuda: emulation: a block has 48 KiB of shared memory") {
  const Buffer<int> out(32);
  CHECK(all_findings(1, 32, use_shared<48 << 10>, out.data()) == 0);
  CHECK(findings(Finding::Kind::launch, "48 KiB", 1, 32, use_shared<(48 << 10) + 64>, out.data()) == 1);
}
