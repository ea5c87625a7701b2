// The memory of one GPU: segments of cudaMalloc, address ranges of the driver's virtual memory management, and events.
// Private: includes CUDA's headers.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include <cuda_runtime_api.h>

#include <mnemo/cuda/device/driver.h>
#include <mnemo/cuda/device/streams.h>
#include <mnemo/memory/source.h>

namespace mnemo::cuda {

/// What a device without memory left answers is null or false; any other error is a CudaError.
class CudaSource final : public memory::Source {
 public:
  /// `context` bytes were taken by this process before anything was allocated; large expandable segments grow by
  /// `large_page` bytes.
  CudaSource(int device, std::shared_ptr<const Streams> streams, memory::Bytes context, memory::Bytes large_page);
  ~CudaSource() override;

  std::byte* allocate(memory::Bytes bytes) override;
  void free(std::byte* segment, memory::Bytes bytes) noexcept override;
  std::byte* reserve_range(memory::Bytes bytes) override;
  void release_range(std::byte* range, memory::Bytes bytes) noexcept override;
  bool map(std::byte* address, memory::Bytes bytes) override;
  void unmap(std::byte* address, memory::Bytes bytes) noexcept override;
  memory::Bytes capacity() const override;
  memory::Bytes free_bytes() const override;
  memory::Bytes context_bytes() const override { return context_; }
  memory::Bytes others_bytes() const override;
  memory::EventId record(memory::StreamId stream) override;
  bool is_done(memory::EventId event) override;
  void wait(memory::EventId event) override;

 private:
  struct Mapping {
    CUmemGenericAllocationHandle handle;
    memory::Bytes bytes;
  };

  cudaEvent_t pending(memory::EventId event) const;
  void forget(memory::EventId event);
  bool is_recorded(memory::StreamId stream) const noexcept;
  void wait_for_all() noexcept;

  int device_;
  std::shared_ptr<const Streams> streams_;
  memory::Bytes context_;
  memory::Bytes large_page_;
  memory::Bytes used_ = 0;                  ///< by segments and mappings
  std::map<std::byte*, Mapping> mappings_;  ///< by address
  std::deque<cudaEvent_t> events_;          ///< number first_event_ + i; null when it is known to be done
  memory::EventId first_event_ = 1;
  std::vector<cudaEvent_t> spare_;
};

}  // namespace mnemo::cuda
