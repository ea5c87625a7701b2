#include <mnemo/cuda/kernels/few_bytes.h>

#include <cassert>
#include <cstring>

#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

struct FewBytes {
  std::uint8_t bytes[kMostFewBytes];
};

__global__ void __launch_bounds__(kThreads) write_bytes(const FewBytes few, int count, std::uint8_t* to) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) to[i] = few.bytes[i];
}

}  // namespace

void write_few_bytes(const CudaBackend& backend, const void* host, std::size_t count, std::byte* to) {
  assert(count <= kMostFewBytes);
  FewBytes few;
  std::memcpy(few.bytes, host, count);
  launch(backend, 1, kThreads, write_bytes, few, static_cast<int>(count), reinterpret_cast<std::uint8_t*>(to));
}

}  // namespace mnemo::cuda
