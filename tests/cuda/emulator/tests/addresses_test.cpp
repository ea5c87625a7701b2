// Kernels that touch what they may not, or not so, and their correct twins.
#include <doctest/doctest.h>

#include <mnemo/core/array.h>
#include <mnemo/core/device.h>

#include "cuda_device.h"
#include "launching.h"

using emulator::Finding;
using launching::all_findings;
using launching::Buffer;
using launching::findings;

namespace {

/// Each thread's element and the one `ahead` of it.
__global__ void add_ahead(const float* x, int ahead, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = x[i] + x[i + ahead];
}

__global__ void write_to(int* out) { *out = 1; }

__global__ void read_shared(int at, int* out) {
  __shared__ int values[32];
  values[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) *out = values[at];
}

/// The first block leaves something where the others may look for it.
template <bool SAFE>
__global__ void read_unwritten(int* out) {
  __shared__ int value;
  if ((SAFE || blockIdx.x == 0) && threadIdx.x == 0) value = 1;
  __syncthreads();
  out[blockIdx.x * 32 + threadIdx.x] = value;
}

/// A thread's own variable, read by another.
__global__ void read_of_other(int* out) {
  __shared__ int* where;
  int own = static_cast<int>(threadIdx.x);
  if (threadIdx.x == 0) where = &own;
  __syncthreads();
  out[threadIdx.x] = *where + own;
}

struct alignas(16) Four {
  float values[4];
};
__global__ void copy_four(const float* x, float* out) {
  *reinterpret_cast<Four*>(out) = *reinterpret_cast<const Four*>(x);
}
__global__ void copy_double(const double* x, double* out) { *out = *x; }

struct Two {
  double first, second;
};
__global__ void copy_two(const Two* x, Two* out) { *out = *x; }

}  // namespace

TEST_CASE("cuda: emulation: accesses outside of the device's memory are found, and not made") {
  const Buffer<float> x(33), out(32);
  CHECK(all_findings(1, 32, add_ahead, x.data(), 1, out.data()) == 0);
  CHECK(findings(Finding::Kind::address, "reads 4 bytes at 132 bytes into a segment of 132", 1, 32, add_ahead, x.data(),
                 2, out.data()) == 1);
  CHECK(findings(Finding::Kind::address, "reads", 1, 32, add_ahead, x.data(), -1, out.data()) > 0);
  int of_host = 0;
  CHECK(findings(Finding::Kind::address, "writes 4 bytes at", 1, 1, write_to, &of_host) == 1);
  CHECK(of_host == 0);
  CHECK(findings(Finding::Kind::address, "not the device's", 1, 1, write_to, nullptr) == 1);
}

TEST_CASE("cuda: emulation: memory that was given back is not the device's any more") {
  void* given = nullptr;
  cudaMalloc(&given, 400);
  CHECK(all_findings(1, 1, write_to, given) == 0);
  cudaFree(given);
  CHECK(findings(Finding::Kind::address, "writes", 1, 1, write_to, given) == 1);
}

TEST_CASE("cuda: emulation: shared memory has bounds, and the variables of another thread are not there") {
  const Buffer<int> out(64);
  CHECK(all_findings(1, 32, read_shared, 31, out.data()) == 0);
  CHECK(findings(Finding::Kind::address, "element 32 of", 1, 32, read_shared, 32, out.data()) == 1);
  CHECK(all_findings(2, 32, read_unwritten<true>, out.data()) == 0);
  CHECK(findings(Finding::Kind::address, "has written nothing", 2, 32, read_unwritten<false>, out.data()) == 1);
  CHECK(findings(Finding::Kind::address, "the stack of another thread", 1, 2, read_of_other, out.data()) == 1);
}

TEST_CASE("cuda: emulation: what moves at once must be aligned") {
  const Buffer<float> x(16), out(16);
  CHECK(all_findings(1, 1, copy_four, x.data() + 4, out.data() + 8) == 0);
#ifndef __clang__  // which does not look at structures that are copied as a whole
  CHECK(findings(Finding::Kind::alignment, "no multiple of 16 but 4 behind", 1, 1, copy_four, x.data() + 1,
                 out.data()) == 1);
  CHECK(findings(Finding::Kind::alignment, "no multiple of 16 but 8 behind", 1, 1, copy_four, x.data(),
                 out.data() + 2) == 1);
#endif
  const auto doubles = [](const Buffer<float>& of, int floats) {
    return reinterpret_cast<double*>(of.data() + floats);
  };
  CHECK(all_findings(1, 1, copy_double, doubles(x, 2), doubles(out, 0)) == 0);
  CHECK(findings(Finding::Kind::alignment, "no multiple of 8 but 4 behind", 1, 1, copy_double, doubles(x, 1),
                 doubles(out, 0)) > 0);
  const auto twos = [](const Buffer<float>& of, int floats) { return reinterpret_cast<Two*>(of.data() + floats); };
  CHECK(all_findings(1, 1, copy_two, twos(x, 2), twos(out, 0)) == 0);
}

TEST_CASE("cuda: emulation: what no array of the device has is not there for kernels") {
  for (const char* text : {"", "expandable_segments:True"}) {
    const mnemo::Device device = new_cuda_device(mnemo::memory::AllocatorConfig::parse(text));
    const mnemo::Array x({33}, mnemo::DType::float32, device), out({32}, mnemo::DType::float32, device);
    mnemo::Array gone({33}, mnemo::DType::float32, device);
    float* const memory = gone.data<float>();
    CHECK(all_findings(1, 32, add_ahead, x.data<float>(), 1, out.data<float>()) == 0);
    CHECK(findings(Finding::Kind::address, "no block that is in use", 1, 32, add_ahead, x.data<float>(), 2,
                   out.data<float>()) == 1);
    CHECK(all_findings(1, 32, add_ahead, memory, 1, out.data<float>()) == 0);
    gone = {};
    CHECK(findings(Finding::Kind::address, "no block that is in use", 1, 32, add_ahead, memory, 1, out.data<float>()) >
          0);
  }
}
