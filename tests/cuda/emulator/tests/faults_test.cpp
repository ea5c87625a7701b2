// What only an emulated GPU does when it is asked to: fail.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/device_memory.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/stream.h>

using namespace mnemo;
using memory::GiB;
using memory::MiB;

namespace {

/// A device of that capacity until the end of the scope.
struct Capacity {
  explicit Capacity(memory::Bytes bytes) { emulator::set_capacity(static_cast<std::size_t>(bytes)); }
  ~Capacity() { emulator::set_capacity(150109945856); }
};

std::string text_of_failure(const Array& x) {
  try {
    map(BinaryOp::add, x, x);
  } catch (const CudaError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("cuda: faults: an error that leaves the device usable is thrown once") {
  const Device device = Device::open("cuda");
  const Array x = Array::from(std::vector<float>{1, 2}, {2}, device);
  emulator::fail_next(cudaErrorInvalidConfiguration);
  const std::string text = text_of_failure(x);
  CHECK(text.find("invalid configuration argument") != std::string::npos);
  CHECK(text.find("context is lost") == std::string::npos);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  CHECK(map(BinaryOp::add, x, x).values<float>() == std::vector<float>{2, 4});
}

TEST_CASE("cuda: faults: an error that loses the context says so, every time, and nothing hangs or aborts at the end") {
  {
    const Device device = Device::open("cuda");
    const Array x = Array::from(std::vector<float>{1, 2}, {2}, device);
    emulator::fail_next(cudaErrorIllegalAddress);
    for (int turn = 0; turn < 2; ++turn) {
      const std::string text = text_of_failure(x);
      CHECK(text.find("cudaErrorIllegalAddress") != std::string::npos);
      CHECK(text.find("start the program again") != std::string::npos);
    }
    CHECK_THROWS_AS(device.backend().synchronize(), CudaError);
    CHECK_THROWS_AS(x.values<float>(), CudaError);
  }
  emulator::fail_next(cudaSuccess);
  const Device device = Device::open("cuda");
  CHECK(full({2}, 3, DType::float32, device).values<float>() == std::vector<float>{3, 3});
}

TEST_CASE(
    "cuda: faults: when the device is full the cache is given back first, then there is an OutOfMemory, then room") {
  const Capacity capacity(GiB);
  const Device device = Device::open("cuda");
  { const Array cached({300 * MiB}, DType::uint8, device); }
  CHECK(memory::reserved(device) >= 300 * MiB);
  {
    const Array fits({400 * MiB}, DType::uint8, device);  // beside the cached 300 it would not
    CHECK(memory::reserved(device) < 500 * MiB);
    CHECK(memory::stats(device).num_alloc_retries == 1);
    CHECK_THROWS_AS(Array({400 * MiB}, DType::uint8, device), OutOfMemory);
    CHECK(cudaPeekAtLastError() == cudaSuccess);
  }
  const Array again({400 * MiB}, DType::uint8, device);
  CHECK(again.bytes() == 400 * MiB);
}

TEST_CASE("cuda: faults: without a device there is a reason") {
  setenv("MNEMO_EMULATOR_ABSENT", "1", 1);  // NOLINT(concurrency-mt-unsafe): no other thread
  std::string text;
  try {
    Device::open("cuda");
  } catch (const DeviceError& error) {
    text = error.what();
  }
  unsetenv("MNEMO_EMULATOR_ABSENT");  // NOLINT(concurrency-mt-unsafe): the same
  CHECK(text.find("no NVIDIA driver is loaded") != std::string::npos);
}

TEST_CASE("cuda: faults: memory of a lost context is given up without an end of the process") {
  {
    const Device device = Device::open("cuda", memory::AllocatorConfig::parse("expandable_segments:True"));
    Array shared({1000}, DType::float32, device), other({3 * MiB}, DType::uint8, device);
    const Stream second = Stream::create(device);
    shared.record_stream(second);
    emulator::fail_next(cudaErrorLaunchFailure);
    CHECK_THROWS_AS(fill(other, 1), CudaError);
    shared = Array();
    CHECK_THROWS_AS(device.backend().synchronize(), CudaError);
  }
  emulator::fail_next(cudaSuccess);
  CHECK(full({2}, 3, DType::float32, Device::open("cuda")).values<float>() == std::vector<float>{3, 3});
}

TEST_CASE("cuda: faults: segments that cannot be mapped in whole pages are refused, others grow and shrink") {
  CHECK_THROWS_AS(
      Device::open("cuda", memory::AllocatorConfig::parse("expandable_segments:True,large_segment_size_mb:21")),
      ConfigError);
  const Device even =
      Device::open("cuda", memory::AllocatorConfig::parse("expandable_segments:True,large_segment_size_mb:32"));
  {
    Array first({150 * MiB}, DType::uint8, even);
    const Array last({10 * MiB}, DType::uint8, even);
    first = Array();
    memory::empty_cache(even);  // 128 of the 160 MiB, four pages of five
    CHECK(memory::reserved(even) == 32 * MiB);
    fill(last, 1);
    const Array again({100 * MiB}, DType::uint8, even);
    fill(again, 1);
  }
  memory::empty_cache(even);
  CHECK(memory::reserved(even) == 0);
}
