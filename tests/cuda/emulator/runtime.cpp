// The runtime's functions: one device with the figures of an H200, streams that do their work at once, graphs.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "checks.h"
#include "segments.h"

struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> work;
};
struct CUstream_st {
  CUgraph_st* captured = nullptr;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
  bool in_graph = false;
};

namespace {

struct State {
  std::mutex mutex;
  std::size_t capacity = 150109945856, context = 500 << 20, used = 0;
  std::map<void*, std::size_t> segments;
  int capturing = 0;
  cudaError_t next = cudaSuccess, sticky = cudaSuccess, last = cudaSuccess;
};

State& state() {
  static auto* state = new State;
  return *state;
}

bool is_sticky(cudaError_t error) { return error >= cudaErrorIllegalAddress && error <= cudaErrorLaunchFailure; }

/// What a call returns that is otherwise `result`: also the last error, until somebody takes it.
cudaError_t answer(cudaError_t result = cudaSuccess) {
  State& s = state();
  if (s.sticky != cudaSuccess) return s.sticky;
  if (s.next != cudaSuccess) {
    result = s.next;
    s.next = cudaSuccess;
    if (is_sticky(result)) s.sticky = result;
  }
  if (result != cudaSuccess) s.last = result;
  return result;
}

/// Large memory costs only what of it is touched, and is 0 at first.
bool is_sparse(std::size_t bytes) { return bytes >= std::size_t{1} << 30; }

bool is_absent() {
  return std::getenv("MNEMO_EMULATOR_ABSENT") != nullptr;  // NOLINT(concurrency-mt-unsafe): only read
}

}  // namespace

namespace emulator {

cudaError_t queue(cudaStream_t stream, std::function<void()> work) {
  if (const cudaError_t error = answer(); error != cudaSuccess) return error;
  if (stream != nullptr && stream->captured != nullptr)
    stream->captured->work.push_back(std::move(work));
  else
    work();
  return cudaSuccess;
}

cudaError_t refuse(cudaError_t error) { return answer(error); }

void set_capacity(std::size_t bytes) { state().capacity = bytes; }
void fail_next(cudaError_t error) {
  state().next = error;
  if (error == cudaSuccess) state().sticky = state().last = cudaSuccess;
}
std::size_t& used_bytes() { return state().used; }
struct Repeating {
  Repeating() { is_repeating = true; }
  ~Repeating() { is_repeating = false; }
};
bool has_room(std::size_t bytes) { return state().used + state().context + bytes <= state().capacity; }

}  // namespace emulator

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "an error of the emulation";
  }
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
         : error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress"
         : error == cudaErrorNoDevice       ? "cudaErrorNoDevice"
                                            : "cudaError";
}
cudaError_t cudaPeekAtLastError() { return state().sticky != cudaSuccess ? state().sticky : state().last; }
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  state().last = cudaSuccess;
  return error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = is_absent() ? 0 : 1;
  return answer(is_absent() ? cudaErrorNoDevice : cudaSuccess);
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : answer(cudaErrorInvalidDevice); }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 132;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrClockRate:
      *value = 1980000;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 3201000;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = 32;
      break;
  }
  return answer();
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return answer(cudaErrorInvalidDevice);
  *p = {};
  std::snprintf(p->name, sizeof p->name, "NVIDIA H200");
  p->totalGlobalMem = state().capacity;
  p->sharedMemPerBlock = 49152;
  p->sharedMemPerBlockOptin = 232448;
  p->reservedSharedMemPerBlock = 1024;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->major = 9;
  p->multiProcessorCount = 132;
  p->l2CacheSize = 62914560;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->cooperativeLaunch = 1;
  return answer();
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int) {
  std::snprintf(text, static_cast<std::size_t>(length), "0000:00:00.0");
  return answer();
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = is_absent() ? 0 : 13000;
  return answer();
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return answer();
}
cudaError_t cudaDeviceSynchronize() {
  return answer(state().capturing > 0 ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (const cudaError_t error = answer(); error != cudaSuccess) return error;
  if (!emulator::has_room(bytes)) return answer(cudaErrorMemoryAllocation);
  const std::size_t size = (bytes + 511) / 512 * 512;
  if (is_sparse(bytes)) {
    *pointer = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (*pointer == MAP_FAILED) return answer(cudaErrorMemoryAllocation);
  } else {
    *pointer = std::aligned_alloc(512, size);
    if (*pointer == nullptr) return answer(cudaErrorMemoryAllocation);
    std::memset(*pointer, 0xff, std::min<std::size_t>(size, 64 << 20));
  }
  s.segments[*pointer] = bytes;
  s.used += bytes;
  emulator::add_segment(*pointer, bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (pointer == nullptr) return answer();
  const auto found = s.segments.find(pointer);
  if (found == s.segments.end()) return answer(cudaErrorInvalidValue);
  const std::size_t bytes = found->second;
  s.used -= bytes;
  s.segments.erase(found);
  emulator::remove_segment(pointer);
  is_sparse(bytes) ? static_cast<void>(munmap(pointer, bytes)) : std::free(pointer);
  return answer();
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const State& s = state();
  *total = s.capacity;
  *free = s.capacity - std::min(s.capacity, s.used + s.context);
  return answer();
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  // What memory of the host holds when a graph is launched is not what it held when it was captured.
  if (stream != nullptr && stream->captured != nullptr && kind != cudaMemcpyDeviceToDevice)
    return answer(cudaErrorStreamCaptureUnsupported);
  return emulator::queue(stream, [=] {
    emulator::list_work(kind == cudaMemcpyDeviceToDevice ? "copy within the device"
                        : kind == cudaMemcpyHostToDevice ? "copy from the host"
                                                         : "copy to the host",
                        bytes);
    std::memmove(to, from, bytes);
  });
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return emulator::queue(stream, [=] {
    emulator::list_work("memset", bytes);
    std::memset(pointer, value, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return answer();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return answer();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return answer(stream->captured != nullptr ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return answer(); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return answer();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return answer();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->time = std::chrono::steady_clock::now();
  event->in_graph = stream != nullptr && stream->captured != nullptr;
  return answer();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return answer(event->in_graph ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaEventQuery(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return answer();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->captured != nullptr) return answer(cudaErrorInvalidValue);
  stream->captured = new CUgraph_st;
  ++state().capturing;
  return answer();
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (stream->captured == nullptr) return answer(cudaErrorInvalidValue);
  *graph = std::exchange(stream->captured, nullptr);
  --state().capturing;
  return answer();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream->captured != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return answer();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return answer();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const emulator::Repeating repeating;
  for (const auto& work : executable->work) {
    if (const cudaError_t error = emulator::queue(stream, work); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return answer();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return answer();
}
