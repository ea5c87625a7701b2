#include <mnemo/cuda/device/backend.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cublas/matmul.h>
#include <mnemo/cuda/device/check.h>
#include <mnemo/cuda/device/conv_runner.h>
#include <mnemo/cuda/kernels/few_bytes.h>

namespace mnemo::cuda {

namespace {

std::byte* address(const Array& array) {
  return array.storage()->data() + array.layout().offset * size_of(array.dtype());
}

}  // namespace

CudaBackend::CudaBackend(std::string name, std::string title, int index, std::shared_ptr<Streams> streams,
                         std::unique_ptr<memory::Source> source, const memory::AllocatorConfig& config,
                         std::shared_ptr<const Decisions> decisions)
    : Backend(std::move(name), std::move(source), config, std::move(decisions)),
      title_(std::move(title)),
      index_(index),
      streams_(std::move(streams)),
      matmul_(std::make_unique<MatmulRunner>()),
      conv_(open_conv_runner()) {
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index_),
        "asking for the number of multiprocessors");
}

CudaBackend::~CudaBackend() {
  report(cudaSetDevice(index_), "choosing the device");
  report(cudaDeviceSynchronize(), "waiting for the device before it is closed");
}

cudaStream_t CudaBackend::stream() const {
  check(cudaSetDevice(index_), "choosing the device");
  return streams_->handle(current_stream());
}

void CudaBackend::synchronize() {
  check(cudaSetDevice(index_), "choosing the device");
  for (int stream = 0; stream < streams_->count(); ++stream)
    check(cudaStreamSynchronize(streams_->handle(stream)), "waiting for the device");
}

void CudaBackend::make_room() const {
  // Of the backend itself nothing changes, as little as by the allocator's own flush.
  const_cast<CudaBackend*>(this)->allocator().empty_cache();
}

void CudaBackend::wait(memory::StreamId waiting, memory::StreamId awaited) {
  check(cudaSetDevice(index_), "choosing the device");
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  cudaError_t status = cudaEventRecord(event, streams_->handle(awaited));
  if (status == cudaSuccess) status = cudaStreamWaitEvent(streams_->handle(waiting), event, 0);
  report(cudaEventDestroy(event), "destroying an event");  // the streams keep what they need of it
  check(status, "making a stream wait for another");
}

void CudaBackend::begin_capture() {
  // Relaxed: the allocator may get memory from the device meanwhile, which is no work of the stream.
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "beginning to record a step");
}

std::shared_ptr<void> CudaBackend::end_capture() {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream(), &graph), "recording a step");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  report(cudaGraphDestroy(graph), "destroying a graph");
  check(status, "making a recorded step ready");
  return {executable, [](void* recording) {
            report(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recording)), "destroying a recorded step");
          }};
}

void CudaBackend::repeat(void* recording) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recording), stream()), "repeating a recorded step");
}

bool CudaBackend::is_capturing() const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream(), &status), "asking whether a step is being recorded");
  return status != cudaStreamCaptureStatusNone;
}

void CudaBackend::read(const Array& from, void* host) {
  if (from.numel() == 0) return;
  cudaStream_t queue = stream();
  if (is_capturing()) {
    throw CudaError(
        "[read] a value cannot be read while a step is being recorded: its work is not done yet; read it from the "
        "result "
        "of StepGraph::run");
  }
  check(cudaMemcpyAsync(host, address(from), static_cast<std::size_t>(from.bytes()), cudaMemcpyDeviceToHost, queue),
        "copying to the host");
  check(cudaStreamSynchronize(queue), "waiting for what is read");
}

void CudaBackend::write(const void* host, const Array& to) {
  if (to.numel() == 0) return;
  if (is_capturing()) {
    throw CudaError(
        "[write] memory of the host cannot be copied to the device while a step is being recorded: it would be read "
        "again "
        "with every repetition; make it an input of StepGraph::run, or copy it before");
  }
  const auto count = static_cast<std::size_t>(to.bytes());
  if (count <= kMostFewBytes) return write_few_bytes(*this, host, count, address(to));
  cudaStream_t queue = stream();
  check(cudaMemcpyAsync(address(to), host, count, cudaMemcpyHostToDevice, queue), "copying from the host");
  // Where the device reads the host's memory by itself nobody promises that it has when the call returns, and the
  // memory may be gone then.
  check(cudaStreamSynchronize(queue), "waiting for what is copied from the host");
}

}  // namespace mnemo::cuda
