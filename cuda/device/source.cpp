#include <mnemo/cuda/device/source.h>

#include <algorithm>

#include <mnemo/core/error.h>
#include <mnemo/cuda/device/check.h>
#include <mnemo/memory/error.h>

namespace mnemo::cuda {

namespace {

using memory::Bytes;
using memory::MiB;

/// The page of small expandable segments, and what the driver's memory comes in multiples of.
constexpr Bytes kSmallPiece = 2 * MiB;

CUdeviceptr address_of(const std::byte* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }
std::size_t count_of(Bytes bytes) { return static_cast<std::size_t>(bytes); }

CUmemAllocationProp properties(int device) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

}  // namespace

CudaSource::CudaSource(int device, std::shared_ptr<const Streams> streams, Bytes context, Bytes large_page)
    : device_(device), streams_(std::move(streams)), context_(context), large_page_(large_page) {}

CudaSource::~CudaSource() {
  report(cudaSetDevice(device_), "choosing the device");
  for (cudaEvent_t event : events_) {
    if (event != nullptr) report(cudaEventDestroy(event), "destroying an event");
  }
  for (cudaEvent_t event : spare_) report(cudaEventDestroy(event), "destroying an event");
}

std::byte* CudaSource::allocate(Bytes bytes) {
  check(cudaSetDevice(device_), "choosing the device");
  void* segment = nullptr;
  const cudaError_t status = cudaMalloc(&segment, count_of(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // taken, or the next launch would report it
    return nullptr;
  }
  check(status, "allocating a segment");
  used_ += bytes;
  return static_cast<std::byte*>(segment);
}

void CudaSource::free(std::byte* segment, Bytes bytes) noexcept {
  report(cudaSetDevice(device_), "choosing the device");
  report(cudaFree(segment), "freeing a segment");
  used_ -= bytes;
}

std::byte* CudaSource::reserve_range(Bytes bytes) {
  if (large_page_ % kSmallPiece != 0) {
    throw ConfigError(
        "[cuda] expandable segments of a GPU grow in multiples of 2 MiB: set large_segment_size_mb to an even number");
  }
  check(cudaSetDevice(device_), "choosing the device");
  if (!driver().obstacle.empty()) return nullptr;
  CUdeviceptr address = 0;
  const CUresult status = driver().address_reserve(&address, count_of(bytes), count_of(kSmallPiece), 0, 0);
  if (status == CUDA_ERROR_OUT_OF_MEMORY || status == CUDA_ERROR_NOT_SUPPORTED) return nullptr;
  check(status, "reserving addresses");
  return reinterpret_cast<std::byte*>(address);
}

void CudaSource::release_range(std::byte* range, Bytes bytes) noexcept {
  report(driver().address_free(address_of(range), count_of(bytes)), "giving addresses back");
}

bool CudaSource::map(std::byte* address, Bytes bytes) {
  check(cudaSetDevice(device_), "choosing the device");
  // In pieces, since only whole ones can be taken back: the page of large segments where it divides what is asked for.
  const Bytes piece = bytes % large_page_ == 0 ? large_page_ : kSmallPiece;
  const CUmemAllocationProp memory = properties(device_);
  CUmemAccessDesc access = {};
  access.location = memory.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  for (Bytes done = 0; done < bytes;) {
    const Bytes size = std::min(piece, bytes - done);
    CUmemGenericAllocationHandle handle = 0;
    CUresult status = driver().create(&handle, count_of(size), &memory, 0);
    if (status == CUDA_SUCCESS) {
      status = driver().map(address_of(address + done), count_of(size), 0, handle, 0);
      if (status != CUDA_SUCCESS) report(driver().release(handle), "giving memory back");
    }
    if (status == CUDA_SUCCESS) {
      mappings_[address + done] = {handle, size};
      used_ += size;
      done += size;
      continue;
    }
    unmap(address, done);
    if (status == CUDA_ERROR_OUT_OF_MEMORY) return false;
    check(status, "putting memory behind addresses");
  }
  const CUresult status = driver().set_access(address_of(address), count_of(bytes), &access, 1);
  if (status == CUDA_SUCCESS) return true;
  unmap(address, bytes);
  if (status == CUDA_ERROR_OUT_OF_MEMORY) return false;
  check(status, "allowing access to addresses");
  return false;
}

bool CudaSource::is_recorded(memory::StreamId stream) const noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  report(cudaStreamIsCapturing(streams_->handle(stream), &status), "asking whether a step is being recorded");
  return status != cudaStreamCaptureStatusNone;
}

/// Streams that are being recorded are left out: what they hold is not done yet, and is kept (CachingAllocator::keep).
void CudaSource::wait_for_all() noexcept {
  for (int stream = 0; stream < streams_->count(); ++stream) {
    if (!is_recorded(stream))
      report(cudaStreamSynchronize(streams_->handle(stream)), "waiting before memory is taken from addresses");
  }
}

void CudaSource::unmap(std::byte* address, Bytes bytes) noexcept {
  if (bytes == 0) return;
  report(cudaSetDevice(device_), "choosing the device");
  // Unlike cudaFree, the driver does not wait for kernels that still use the memory.
  wait_for_all();
  // Each mapping by itself: the driver's documentation knows no more.
  for (auto mapping = mappings_.lower_bound(address); mapping != mappings_.end() && mapping->first < address + bytes;
       mapping = mappings_.erase(mapping)) {
    const auto [handle, size] = mapping->second;
    report(driver().unmap(address_of(mapping->first), count_of(size)), "taking memory from addresses");
    report(driver().release(handle), "giving memory back");
    used_ -= size;
  }
}

Bytes CudaSource::capacity() const {
  std::size_t free = 0, total = 0;
  check(cudaSetDevice(device_), "choosing the device");
  check(cudaMemGetInfo(&free, &total), "asking for the device's memory");
  return static_cast<Bytes>(total);
}

Bytes CudaSource::free_bytes() const {
  std::size_t free = 0, total = 0;
  check(cudaSetDevice(device_), "choosing the device");
  check(cudaMemGetInfo(&free, &total), "asking for the device's memory");
  return static_cast<Bytes>(free);
}

Bytes CudaSource::others_bytes() const { return std::max<Bytes>(0, capacity() - free_bytes() - context_ - used_); }

memory::EventId CudaSource::record(memory::StreamId stream) {
  check(cudaSetDevice(device_), "choosing the device");
  if (is_recorded(stream)) {
    throw CudaError(
        "[cuda] a stream that is being recorded has no present end: memory of another stream that a recorded step uses "
        "must "
        "not be freed in it");
  }
  cudaEvent_t event = nullptr;
  if (spare_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  } else {
    event = spare_.back();
    spare_.pop_back();
  }
  check(cudaEventRecord(event, streams_->handle(stream)), "marking the end of a stream's work");
  events_.push_back(event);
  return first_event_ + events_.size() - 1;
}

cudaEvent_t CudaSource::pending(memory::EventId event) const {
  return event < first_event_ ? nullptr : events_[static_cast<std::size_t>(event - first_event_)];
}

void CudaSource::forget(memory::EventId event) {
  cudaEvent_t& entry = events_[static_cast<std::size_t>(event - first_event_)];
  spare_.push_back(entry);
  entry = nullptr;
  for (; !events_.empty() && events_.front() == nullptr; ++first_event_) events_.pop_front();
}

bool CudaSource::is_done(memory::EventId event) {
  cudaEvent_t handle = pending(event);
  if (handle == nullptr) return true;
  const cudaError_t status = cudaEventQuery(handle);
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(status, "asking for an event");
  forget(event);
  return true;
}

void CudaSource::wait(memory::EventId event) {
  cudaEvent_t handle = pending(event);
  if (handle == nullptr) return;
  check(cudaEventSynchronize(handle), "waiting for an event");
  forget(event);
}

}  // namespace mnemo::cuda
