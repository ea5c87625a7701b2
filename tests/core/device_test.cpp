#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include <mnemo/core/backend.h>
#include <mnemo/core/card.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

using namespace mnemo;
using memory::GiB;
using memory::MiB;

namespace {

memory::Bytes capacity_of(const Device& device) { return device.allocator().source().capacity(); }

}  // namespace

TEST_CASE("device: every form opens what it names") {
  CHECK_FALSE(Device("cpu").is_virtual());
  CHECK(Device("cpu").name() == "cpu");
  CHECK(capacity_of("cpu") > 0);
  CHECK_FALSE(Device("cpu:3MiB").is_virtual());
  CHECK(capacity_of("cpu:3MiB") == 3 * MiB);
  CHECK(capacity_of("cpu:2097152") == 2 * MiB);
  CHECK(Device("virtual:cpu").is_virtual());
  CHECK(capacity_of("virtual:cpu:2GiB") == 2 * GiB);
  CHECK(capacity_of("virtual:16GiB") == 16 * GiB);
  CHECK(capacity_of("virtual:1.5 GiB") == 3 * GiB / 2);
  CHECK(Device("virtual:16GiB").name() == "virtual:16GiB");
  for (const Card& card : cards()) {
    const Device device("virtual:" + std::string(card.name));
    CAPTURE(std::string(card.name));
    CHECK(device.is_virtual());
    CHECK(capacity_of(device) == card.capacity);
    CHECK(device.allocator().source().free_bytes() == card.capacity - card.context);
    CHECK(device.allocator().reserved() == 0);
  }
}

TEST_CASE("device: a card with another memory, and its cuDNN in any order") {
  const Device small = Device::open("virtual:h200,24GiB");
  const Card& card = *find_card("h200");
  CHECK(capacity_of(small) == 24 * GiB);
  CHECK(small.allocator().source().free_bytes() == 24 * GiB - card.context);
  CHECK(small.backend().decisions().source() == Device::open("virtual:h200").backend().decisions().source());
  const Device both = Device::open("virtual:h200,cudnn=9.19.0,2GiB");
  CHECK(capacity_of(both) == 2 * GiB);
  CHECK(both.backend().decisions().cudnn() == Device::open("virtual:h200,cudnn=9.19.0").backend().decisions().cudnn());
  CHECK_THROWS_AS(Device::open("virtual:h200,"), DeviceError);
  CHECK_THROWS_AS(Device::open("virtual:h200,2GiB,"), DeviceError);
  CHECK_THROWS_AS(Device::open("virtual:h200,cudnn="), DeviceError);
}

TEST_CASE("device: what names none is refused with the forms that do") {
  for (const char* text : {"",
                           " ",
                           "cp",
                           "CPU",
                           "cpu ",
                           " cpu",
                           "cpu:",
                           "cpu:0",
                           "cpu:0GiB",
                           "cpu:-1GiB",
                           "cpu:lots",
                           "cpu:1e9",
                           "cpu:nan",
                           "cpu:99999999999GiB",
                           "cpu:h200",
                           "cpu:1GiB:2",
                           "virtual",
                           "virtual:",
                           "virtual:0",
                           "virtual:-5",
                           "virtual:H200",
                           "virtual:gtx",
                           "virtual:cpu:",
                           "virtual:cpu:0",
                           "virtual:cpu:h200",
                           "virtual:cpu:cpu",
                           "virtual:0.0001",
                           "cuda:",
                           "cuda:-1",
                           "cuda:x",
                           "cuda:1x",
                           "cuda:99999999999",
                           "gpu",
                           "mps:0"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Device{text}, DeviceError);
    CHECK_THROWS_AS(Device::open(text), DeviceError);
  }
  std::string said;
  try {
    Device("virtual:0");
  } catch (const DeviceError& error) {
    said = error.what();
  }
  for (const char* part : {"\"virtual:0\"", "virtual:cpu:SIZE", "virtual:CARD", "h200", "16GiB"})
    CHECK(said.find(part) != std::string::npos);
}

TEST_CASE("device: a name is one device for the whole process; open gives a fresh one") {
  CHECK(Device("virtual:7GiB") == Device("virtual:7GiB"));
  CHECK_FALSE(Device("virtual:7GiB") == Device("virtual:8GiB"));
  const Device fresh = Device::open("virtual:7GiB");
  CHECK_FALSE(fresh == Device("virtual:7GiB"));
  CHECK(fresh.name() == "virtual:7GiB");
  const Array x({1000}, DType::float32, fresh);
  CHECK(fresh.allocator().allocated() == 4096);
  CHECK(Device("virtual:7GiB").allocator().allocated() == 0);
  const Device configured = Device::open("virtual:7GiB", memory::AllocatorConfig::parse("expandable_segments:True"));
  CHECK(configured.allocator().config().expandable_segments);
  Array kept;
  {
    const Device gone = Device::open("cpu");
    kept = Array::from<float>({1, 2}, {2}, gone);
  }
  CHECK(kept.values<float>() == std::vector<float>{1, 2});  // an array keeps its device
}

TEST_CASE("device: DeviceScope is this thread's current device, and scopes nest") {
  CHECK(Device() == Device("cpu"));
  {
    const DeviceScope outer(Device("virtual:cpu"));
    CHECK(Device() == Device("virtual:cpu"));
    CHECK(Array({2}, DType::float32).device() == Device("virtual:cpu"));
    {
      const DeviceScope inner(Device("virtual:t4"));
      CHECK(Device() == Device("virtual:t4"));
    }
    CHECK(Device() == Device("virtual:cpu"));
    bool other_is_cpu = false;
    std::thread([&] { other_is_cpu = Device() == Device("cpu"); }).join();
    CHECK(other_is_cpu);
  }
  CHECK(Device() == Device("cpu"));
}

TEST_CASE("device: a capacity is kept to, on the CPU as on a virtual device, and the error says what was there") {
  for (const char* name : {"cpu:1MiB", "virtual:1MiB", "virtual:cpu:1MiB"}) {
    CAPTURE(name);
    const Device device = Device::open(name);
    CHECK_THROWS_AS(Array({1}, DType::float32, device), OutOfMemory);  // the smallest segment has 2 MiB
  }
  for (const char* name : {"cpu:4MiB", "virtual:4MiB", "virtual:cpu:4MiB"}) {
    CAPTURE(name);
    const Device device = Device::open(name);
    const memory::CategoryScope category(memory::Category::input);
    const memory::PhaseScope phase(memory::Phase::data);
    const memory::OpScope op("loading");
    const memory::ModuleScope module("net.first");
    const Array kept({100, 100}, DType::float32, device);
    const memory::Bytes allocated = device.allocator().allocated();
    bool thrown = false;
    try {
      const Array x({3, 512, 1024}, DType::float32, device);
    } catch (const OutOfMemory& error) {
      thrown = true;
      const auto& details = error.details();
      CHECK(details.device == name);
      CHECK(details.requested == 6 * MiB);
      CHECK(details.segment == 20 * MiB);
      CHECK(details.allocated == allocated);
      CHECK(details.reserved == 2 * MiB);
      CHECK(details.capacity == 4 * MiB);
      CHECK(details.free == 2 * MiB);
      CHECK(std::string(details.tag.op) == "loading");
      CHECK(std::string(details.tag.module) == "net.first");
      CHECK(details.tag.phase == memory::Phase::data);
      CHECK(details.categories[static_cast<std::size_t>(memory::Category::input)] == allocated);
      REQUIRE(details.top_holders.size() == 1);
      CHECK(details.top_holders[0].bytes == allocated);
    }
    CHECK(thrown);
    CHECK(device.allocator().allocated() == allocated);
    CHECK(device.allocator().statistics().num_ooms == 1);
    CHECK(Array({100}, DType::float32, device).defined());
  }
}

TEST_CASE("to(device): values travel between CPUs; from a virtual device come NaN and 0, said by no exception") {
  const Array x = Array::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}, "cpu").transpose(0, 1);
  CHECK(x.to(Device("cpu")).storage() == x.storage());
  const Device other = Device::open("cpu:64MiB");
  const Array moved = x.to(other);
  CHECK(moved.device() == other);
  CHECK(moved.shape() == Shape{3, 2});
  CHECK(moved.values<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(moved.to(DType::int32).to(Device("cpu")).values<std::int32_t>() == std::vector<std::int32_t>{1, 4, 2, 5, 3, 6});
  const Array shadow = x.to(Device("virtual:cpu"));
  CHECK(shadow.shape() == x.shape());
  for (float value : shadow.values<float>()) CHECK(std::isnan(value));
  const Array back = shadow.to(Device("cpu"));
  CHECK(back.device() == Device("cpu"));
  for (double value : back.values<double>()) CHECK(std::isnan(value));
  for (DType dtype : kDTypes) {
    const Array array = full({2, 2}, 3, dtype, "virtual:cpu");
    for (double value : array.values<double>()) CHECK(std::isnan(value));
    CHECK(array.values<std::int64_t>() == std::vector<std::int64_t>(4));
    CHECK(array.to(Device("virtual:h200")).device() == Device("virtual:h200"));
    const auto on_host = array.to(Device("cpu")).values<double>();
    for (double value : on_host) CHECK((is_floating(dtype) ? std::isnan(value) : value == 0));
  }
  CHECK(std::isnan(reduce(ReduceOp::sum, shadow, 3u).item()));
  CHECK(Array({0, 3}, DType::float32, "cpu").to(Device("virtual:cpu")).to(Device("cpu")).numel() == 0);
  CHECK_THROWS_AS((void)shadow.item(), ShapeError);
}
