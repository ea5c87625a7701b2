// The streams of one device: queues of work by number, each with a small memory of its own in which kernels leave
// partial results. Stream 0 is there from the start. Private: includes CUDA's headers.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include <cuda_runtime_api.h>

#include <mnemo/memory/source.h>

namespace mnemo::cuda {

/// What kernels of one stream share. It is no block of the allocator: it is there as long as the device, and counts
/// with its context.
struct Scratch {
  static constexpr int kCounters = 4096;
  static constexpr std::size_t kBytes = std::size_t{4} << 20;

  unsigned* counters = nullptr;   ///< kCounters of them, 0 whenever a kernel begins: who counts sets them back
  std::byte* partials = nullptr;  ///< kBytes, aligned to 256, of any content
};

/// The memory of a stream, for one thread at a time: what a thread has queued between two of its uses stays together.
struct ScratchLease : Scratch {
  std::unique_lock<std::recursive_mutex> lock;
};

class Streams {
 public:
  /// Makes stream 0. The device must be current.
  Streams();
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  memory::StreamId add();
  cudaStream_t handle(memory::StreamId stream) const { return at(stream).handle; }
  ScratchLease scratch(memory::StreamId stream) const {
    return {at(stream).scratch, std::unique_lock(*at(stream).in_use)};
  }
  int count() const;

 private:
  struct Entry {
    cudaStream_t handle = nullptr;
    Scratch scratch;
    std::shared_ptr<std::recursive_mutex> in_use = std::make_shared<std::recursive_mutex>();
  };
  static constexpr int kMost = 256;

  const Entry& at(memory::StreamId stream) const { return entries_[static_cast<std::size_t>(stream)]; }

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // of capacity kMost from the start: reading needs no lock
};

}  // namespace mnemo::cuda
