// The device "cuda" as a device: its memory, errors, streams. On a GPU, or on the emulation of one.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/device_memory.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/stream.h>
#include <mnemo/cuda/device/memory_use.h>

#include "cuda_device.h"

using namespace mnemo;
using memory::Bytes;
using memory::MiB;

// NVML counts what the driver keeps for itself as used, and the runtime does not: 600 MiB here.
TEST_CASE("a context is what more is in use once the device is open, not what the runtime misses beyond that") {
  constexpr Bytes kept = 600 * MiB, others = 1000 * MiB, context = 500 * MiB;
  CHECK(cuda::context_bytes(kept + others, kept + others + context, others + context) == context);
  CHECK(cuda::context_bytes(kept, kept + context, context) == context);
  // Others that came meanwhile are no more than what is taken.
  CHECK(cuda::context_bytes(kept, kept + 900 * MiB, context) == context);
  CHECK(cuda::context_bytes({}, kept + context, context) == context);
  CHECK(cuda::context_bytes(kept, {}, context) == context);
  CHECK(cuda::context_bytes(kept, kept, context) == context);
}

TEST_CASE("cuda: the device says what it is and what it has") {
  if (!cuda_device()) return;
  const Device device = *cuda_device();
  CHECK_FALSE(device.is_virtual());
  CHECK_FALSE(device.backend().title().empty());
  const memory::Source& source = device.allocator().source();
  CHECK(source.capacity() > 0);
  CHECK(source.context_bytes() > 0);
  CHECK(source.free_bytes() > 0);
  CHECK(memory::context(device) == source.context_bytes());
  CHECK(source.free_bytes() + source.context_bytes() + source.others_bytes() + memory::reserved(device) <=
        source.capacity());
}

TEST_CASE("cuda: what is written is read again, at every alignment, and views keep their place") {
  if (!cuda_device()) return;
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 500;
  const Array x = Array::from(values, {1000}, *cuda_device());
  CHECK(x.values<float>() == values);
  for (std::int64_t begin = 0; begin < 9; ++begin) {
    const Array part = x.slice(0, begin, 1000 - begin);
    const Array doubled = map(BinaryOp::add, part, part);
    std::vector<float> expected;
    for (std::int64_t i = begin; i < 1000 - begin; ++i) expected.push_back(2 * values[static_cast<std::size_t>(i)]);
    CHECK(doubled.values<float>() == expected);
  }
}

TEST_CASE("cuda: what is written is taken at once, however much it is, and nothing beside it changes") {
  if (!cuda_device()) return;
  Backend& backend = cuda_device()->backend();
  for (const std::int64_t count : {1, 3, 255, 1023, 1024, 1025, 5'000'000}) {
    CAPTURE(count);
    const Array all = full({count + 8}, 7, DType::uint8, *cuda_device());
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count)), expected(static_cast<std::size_t>(count) + 8, 7);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = expected[i + 3] = static_cast<std::uint8_t>(11 * i + 1);
    backend.write(bytes.data(), all.slice(0, 3, count + 3));
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    CHECK(all.values<std::uint8_t>() == expected);
  }
}

TEST_CASE("cuda: an index that is not there is refused with the reason") {
  if (!cuda_device()) return;
  CHECK_THROWS_AS(Device::open("cuda:77"), DeviceError);
}

TEST_CASE("cuda: memory comes back, in segments and in address ranges alike") {
  if (!cuda_device()) return;
  for (const char* text : {"", "expandable_segments:True"}) {
    CAPTURE(std::string(text));
    const Device device = new_cuda_device(memory::AllocatorConfig::parse(text));
    const auto use = [&] {
      std::vector<Array> arrays;
      for (Bytes size : {MiB / 2, 3 * MiB, 40 * MiB, 7 * MiB}) {
        arrays.emplace_back(Shape{size / 4}, DType::float32, device);
        fill(arrays.back(), static_cast<double>(size));
      }
      for (const Array& array : arrays) CHECK(array.slice(0, 5, 6).item() == static_cast<double>(array.bytes()));
      arrays.erase(arrays.begin() + 1);
      memory::empty_cache(device);
      CHECK(memory::reserved(device) <= 62 * MiB);  // 2 for the small one, 20 for 7, 40
      for (const Array& array : arrays) CHECK(array.slice(0, 5, 6).item() == static_cast<double>(array.bytes()));
    };
    use();  // which loads kernels, and lets the driver make its tables of pages
    memory::empty_cache(device);
    const Bytes before = device.allocator().source().free_bytes();
    for (int turn = 0; turn < 3; ++turn) use();
    memory::empty_cache(device);
    CHECK(memory::allocated(device) == 0);
    CHECK(memory::reserved(device) == 0);
    // A page of the driver's own may come or go; what was leaked would be more.
    CHECK(device.allocator().source().free_bytes() >= before - 2 * MiB);
  }
}

TEST_CASE("cuda: more than there is is an OutOfMemory that says what the device holds, and work goes on") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const Bytes capacity = device.allocator().source().capacity();
  std::string text;
  try {
    const Array all(Shape{capacity}, DType::uint8, device);
  } catch (const OutOfMemory& error) {
    text = error.what();
    CHECK(error.details().context > 0);
    CHECK(error.details().capacity == capacity);
  }
  CHECK(text.find("context") != std::string::npos);
  const Array x = Array::from(std::vector<float>{1, 2}, {2}, device);
  CHECK(map(BinaryOp::add, x, x).values<float>() == std::vector<float>{2, 4});
}

TEST_CASE("cuda: a block that another stream uses is not handed out before that stream is done with it") {
  if (!cuda_device()) return;
  const Device device = new_cuda_device();
  const Stream first(device), second = Stream::create(device);
  CHECK(first.id() == 0);
  CHECK_FALSE(second == first);
  Array x = Array::from(std::vector<float>(1000, 3.0f), {1000}, device);
  second.wait_for(first);
  {
    const StreamScope scope(second);
    const Array y = map(BinaryOp::multiply, x, x);
    x.record_stream(second);
    CHECK(y.storage()->block()->stream == second.id());
    CHECK(y.values<float>() == std::vector<float>(1000, 9.0f));
  }
  CHECK(Stream(device) == first);
  x = Array();
  device.backend().synchronize();
  memory::empty_cache(device);
  CHECK(memory::reserved(device) == 0);
  CHECK_THROWS_AS(second.wait_for(Stream(Device("cpu"))), DeviceError);
}
