#include <mnemo/cuda/device/streams.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/device/check.h>

namespace mnemo::cuda {

namespace {

constexpr std::size_t kCounterBytes = Scratch::kCounters * sizeof(unsigned);

}  // namespace

Streams::Streams() {
  entries_.reserve(kMost);
  add();
}

Streams::~Streams() {
  for (const Entry& entry : entries_) {
    report(cudaStreamDestroy(entry.handle), "destroying a stream");
    report(cudaFree(entry.scratch.counters), "freeing the memory for partial results");
  }
}

memory::StreamId Streams::add() {
  const std::lock_guard lock(mutex_);
  if (entries_.size() == kMost)
    throw DeviceError(
        fmt::format("[stream] a device has at most {} streams; create each once and use it again", kMost));
  Entry entry;
  // The runtime's default stream waits for all others and cannot be captured: none of ours is that one.
  check(cudaStreamCreateWithFlags(&entry.handle, cudaStreamNonBlocking), "making a stream");
  void* memory = nullptr;
  cudaError_t status = cudaMalloc(&memory, kCounterBytes + Scratch::kBytes);
  if (status == cudaSuccess) status = cudaMemsetAsync(memory, 0, kCounterBytes, entry.handle);
  // What is recorded in a stream may be repeated in another, which does not wait for this one.
  if (status == cudaSuccess) status = cudaStreamSynchronize(entry.handle);
  if (status != cudaSuccess) {
    report(cudaStreamDestroy(entry.handle), "destroying a stream");
    if (memory != nullptr) report(cudaFree(memory), "freeing the memory for partial results");
    check(status, "making a stream's memory for partial results");
  }
  entry.scratch.counters = static_cast<unsigned*>(memory);
  entry.scratch.partials = static_cast<std::byte*>(memory) + kCounterBytes;
  entries_.push_back(entry);
  return static_cast<memory::StreamId>(entries_.size()) - 1;
}

int Streams::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(entries_.size());
}

}  // namespace mnemo::cuda
