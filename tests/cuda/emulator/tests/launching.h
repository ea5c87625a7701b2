// How tests of the emulation itself start kernels of their own, and what memory these have.
#pragma once

#include <cstddef>
#include <utility>

#include <cuda_runtime.h>

#include "checks.h"

namespace launching {

/// Elements of the device, filled with zeros.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : bytes_(count * sizeof(T)) {
    void* at = nullptr;
    cudaMalloc(&at, bytes_);
    first_ = static_cast<T*>(at);
    cudaMemsetAsync(first_, 0, bytes_, nullptr);
  }
  ~Buffer() { cudaFree(first_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() const { return first_; }
  T operator[](std::size_t i) const { return first_[i]; }

 private:
  std::size_t bytes_;
  T* first_ = nullptr;
};

template <class... Parameters, class... Arguments>
cudaError_t start(dim3 grid, dim3 block, void (*kernel)(Parameters...), Arguments... arguments) {
  cudaLaunchConfig_t config;
  config.gridDim = grid;
  config.blockDim = block;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/// How many findings of that kind that say `text` there are when a kernel runs.
template <class... Arguments>
int findings(emulator::Finding::Kind kind, const char* text, dim3 grid, dim3 block, Arguments... arguments) {
  const emulator::Findings found;
  start(grid, block, arguments...);
  return found.count(kind, text);
}
/// How many there are of any kind.
template <class... Arguments>
int all_findings(dim3 grid, dim3 block, Arguments... arguments) {
  const emulator::Findings found;
  start(grid, block, arguments...);
  return static_cast<int>(found.all().size());
}

}  // namespace launching
