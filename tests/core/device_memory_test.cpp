#include <doctest/doctest.h>

#include <cstdio>
#include <numeric>
#include <string>
#include <thread>

#include <mnemo/core/array.h>
#include <mnemo/core/card.h>
#include <mnemo/core/device_memory.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/timeline.h>

using namespace mnemo;
using memory::KiB;
using memory::MiB;

namespace {

/// An array of that many bytes on the current device.
Array bytes(std::int64_t count) { return Array({count / 4}, DType::float32); }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("memory by device: counters, peaks and the cache, by arithmetic on paper") {
  const Device device = Device::open("virtual:1GiB");
  const DeviceScope current(device);
  CHECK(memory::allocated() == 0);
  CHECK(memory::reserved() == 0);
  {
    const Array a = bytes(3 * MiB);        // in a segment of 20 MiB
    const Array b = bytes(100 * KiB + 4);  // in one of 2 MiB, as 100.5 KiB
    CHECK(memory::allocated() == 3 * MiB + 100 * KiB + 512);
    CHECK(memory::reserved() == 22 * MiB);
    CHECK(memory::stats().requested_bytes.all.current == 3 * MiB + 100 * KiB + 4);
    CHECK(memory::snapshot().size() == 2);
  }
  CHECK(memory::allocated() == 0);
  CHECK(memory::max_allocated() == 3 * MiB + 100 * KiB + 512);
  CHECK(memory::peak().allocated == memory::max_allocated());
  CHECK(memory::reserved() == 22 * MiB);
  memory::empty_cache();
  CHECK(memory::reserved() == 0);
  CHECK(memory::max_reserved() == 22 * MiB);
  memory::reset_peak();
  CHECK(memory::max_allocated() == 0);
  CHECK(memory::max_reserved() == 0);
  // The thread's current device is another one here.
  std::thread([&] {
    const Array there = bytes(512);
    CHECK(memory::allocated() >= 512);
    CHECK(memory::allocated(device) == 0);
  }).join();
}

TEST_CASE("memory by device: categories add up to what is allocated") {
  const Device device = Device::open("virtual:1GiB");
  const DeviceScope current(device);
  const memory::CategoryScope parameters(memory::Category::parameter);
  const Array weight = bytes(1000);
  const memory::CategoryScope inputs(memory::Category::input);
  const Array x = bytes(2 * MiB);
  const memory::CategoryBytes categories = memory::categories();
  CHECK(categories[static_cast<std::size_t>(memory::Category::parameter)] == 1024);
  CHECK(categories[static_cast<std::size_t>(memory::Category::input)] == 2 * MiB);
  CHECK(std::accumulate(categories.begin(), categories.end(), memory::Bytes{0}) == memory::allocated());
}

TEST_CASE("memory by device: the context is the card's, none on a CPU, unknown elsewhere") {
  for (const char* cpu : {"cpu", "cpu:64MiB", "virtual:cpu", "virtual:cpu:64MiB"})
    CHECK(memory::context(Device::open(cpu)) == 0);
  CHECK(memory::context(Device::open("virtual:h200")) == find_card("h200")->context);
  CHECK(memory::context(Device::open("virtual:3GiB")) == std::nullopt);
}

TEST_CASE("memory by device: the summary says in its cells what the counters say") {
  const Device device = Device::open("virtual:1GiB");
  const DeviceScope current(device);
  const memory::CategoryScope inputs(memory::Category::input);
  const Array kept = bytes(3 * MiB);
  { const Array gone = bytes(20 * MiB); }
  const std::string text = memory::summary();
  INFO(text);
  CHECK(has(text, "mnemo memory summary, virtual:1GiB"));
  CHECK(has(text, "| Allocated memory       |     3.00 MiB |    23.00 MiB |    23.00 MiB |    20.00 MiB |"));
  CHECK(has(text, "| Reserved memory        |    40.00 MiB |    40.00 MiB |    40.00 MiB |      0 bytes |"));
  CHECK(has(text, "| Allocations            |            1 |            2 |            2 |            1 |"));
  CHECK(has(text, "| input                  |     3.00 MiB |    23.00 MiB |"));
  CHECK(has(text, "| sum                    |     3.00 MiB |    23.00 MiB |"));
  std::size_t width = 0;  // a table: every line is as long as the first
  for (std::size_t from = 0, to = 0; (to = text.find('\n', from)) != std::string::npos; from = to + 1) {
    if (width == 0) width = to - from;
    CHECK(to - from == width);
  }
}

TEST_CASE("memory by device: a record tells where it comes from") {
  const Device device = Device::open("virtual:h200");
  const DeviceScope current(device);
  const memory::Recorder recorder = memory::record(memory::Ring{});
  const Array x = bytes(4096);
  const memory::Recording recording = recorder.recording();
  CHECK(recording.header().device == "virtual:h200");
  CHECK(recording.header().context == find_card("h200")->context);
  CHECK(recording.size() == 2);  // a segment and a block
  CHECK_THROWS_AS(static_cast<void>(memory::record("/nonexistent/folder/file")), FileError);
}

TEST_CASE("memory scopes: names below names, and nothing stays behind") {
  const char* const before = memory::current_tag().module;
  {
    const auto outer = memory::scope("augment");
    CHECK(std::string(memory::current_tag().module) == "augment");
    const auto inner = memory::scope(std::string("crop"));
    CHECK(std::string(memory::current_tag().module) == "augment.crop");
    const auto none = memory::scope("");
    CHECK(std::string(memory::current_tag().module) == "augment.crop");
  }
  CHECK(memory::current_tag().module == before);
}
