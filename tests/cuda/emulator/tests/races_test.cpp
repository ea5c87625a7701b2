// Kernels whose threads race, and their correct twins.
#include <doctest/doctest.h>

#include "launching.h"

using emulator::Finding;
using launching::all_findings;
using launching::Buffer;
using launching::findings;

namespace {

constexpr unsigned kThreads = 128;

/// Every thread takes what its neighbour has left; the barrier between the two may be missing.
template <bool SAFE>
__global__ void take_from_neighbour(int* out) {
  __shared__ int left[kThreads];
  left[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (SAFE) __syncthreads();
  out[threadIdx.x] = left[(threadIdx.x + 1) % kThreads];
}

/// The same within each warp, whose lanes need not be in step.
template <bool SAFE>
__global__ void take_from_lane(int* out) {
  __shared__ int left[kThreads];
  left[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (SAFE) __syncwarp();
  out[threadIdx.x] = left[threadIdx.x ^ 1u];
}

/// Warps wait for themselves, but read what another warp has left.
__global__ void take_from_warp(int* out) {
  __shared__ int left[kThreads];
  left[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = left[threadIdx.x ^ 32u];
}

/// Sums that take turns in one place: what was there must have been read before it is written again.
template <bool SAFE>
__global__ void sum_twice(int* out) {
  __shared__ int place;
  int sum = 0;
  for (int turn = 0; turn < 2; ++turn) {
    if (threadIdx.x == 0) place = turn + 1;
    __syncthreads();
    sum += place;
    if (SAFE) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

template <bool SAFE>
__global__ void count_threads(int* out) {
  if (SAFE)
    atomicAdd(out, 1);
  else
    ++*out;
}

/// A plain write where others change something atomically.
__global__ void count_and_set(int* out) {
  if (blockIdx.x == 0)
    atomicAdd(out, 1);
  else
    *out = 7;
}

/// Blocks write neighbouring bytes, or bytes of which one is the neighbour's.
template <bool SAFE>
__global__ void write_bytes(unsigned char* out) {
  const unsigned first = 2 * blockIdx.x;
  out[first] = 1;
  out[first + (SAFE ? 1 : 2)] = 1;
}

enum class Fences { all, none, before_only, after_only, by_one };

/// The last block to finish adds up what the others have left: CUDA's threadFenceReduction.
template <Fences FENCES>
__global__ void sum_by_last_block(const int* x, int* partials, unsigned* finished, int* out) {
  __shared__ bool last;
  constexpr bool kBefore = FENCES == Fences::all || FENCES == Fences::before_only;
  constexpr bool kAfter = FENCES == Fences::all || FENCES == Fences::after_only;
  partials[blockIdx.x * kThreads + threadIdx.x] = x[blockIdx.x * kThreads + threadIdx.x];
  if (kBefore) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    if (FENCES == Fences::by_one) __threadfence();
    last = atomicAdd(finished, 1u) == gridDim.x - 1;
    if (FENCES == Fences::by_one) __threadfence();
  }
  __syncthreads();
  if (!last) return;
  if (kAfter) __threadfence();
  int sum = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x * kThreads; i += kThreads) sum += partials[i];
  atomicAdd(out, sum);
}

template <Fences FENCES>
int races_of_last_block() {
  const Buffer<int> x(4 * kThreads), partials(4 * kThreads), out(1);
  const Buffer<unsigned> finished(1);
  return findings(Finding::Kind::race, "blocks race", 4, kThreads, sum_by_last_block<FENCES>, x.data(), partials.data(),
                  finished.data(), out.data());
}

}  // namespace

TEST_CASE("cuda: emulation: a barrier that is missing between threads of a block is found") {
  const Buffer<int> out(kThreads);
  CHECK(findings(Finding::Kind::race, "race", 1, kThreads, take_from_neighbour<false>, out.data()) > 0);
  CHECK(all_findings(1, kThreads, take_from_neighbour<true>, out.data()) == 0);
  CHECK(findings(Finding::Kind::race, "place", 1, kThreads, sum_twice<false>, out.data()) > 0);
  CHECK(all_findings(1, kThreads, sum_twice<true>, out.data()) == 0);
}

TEST_CASE("cuda: emulation: lanes of a warp are not in step") {
  const Buffer<int> out(kThreads);
  CHECK(findings(Finding::Kind::race, "lanes race", 1, kThreads, take_from_lane<false>, out.data()) > 0);
  CHECK(all_findings(1, kThreads, take_from_lane<true>, out.data()) == 0);
  CHECK(findings(Finding::Kind::race, "warps race", 1, kThreads, take_from_warp, out.data()) > 0);
}

TEST_CASE("cuda: emulation: blocks that touch the same bytes race unless all do so atomically") {
  const Buffer<int> out(1);
  CHECK(findings(Finding::Kind::race, "blocks race", 3, 1, count_threads<false>, out.data()) > 0);
  CHECK(findings(Finding::Kind::race, "lanes race", 1, 32, count_threads<false>, out.data()) > 0);
  CHECK(all_findings(3, kThreads, count_threads<true>, out.data()) == 0);
  CHECK(findings(Finding::Kind::race, "blocks race", 2, 1, count_and_set, out.data()) == 1);
  const Buffer<unsigned char> bytes(16);
  CHECK(all_findings(4, 1, write_bytes<true>, bytes.data()) == 0);
  CHECK(findings(Finding::Kind::race, "blocks race", 4, 1, write_bytes<false>, bytes.data()) == 1);
}

TEST_CASE("cuda: emulation: the last block sees what others wrote if both sides fence") {
  CHECK(races_of_last_block<Fences::all>() == 0);
  CHECK(races_of_last_block<Fences::by_one>() == 0);
  CHECK(races_of_last_block<Fences::none>() > 0);
  CHECK(races_of_last_block<Fences::before_only>() > 0);
  CHECK(races_of_last_block<Fences::after_only>() > 0);
}
