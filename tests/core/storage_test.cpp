#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

using namespace mnemo;
using memory::Category;

namespace {

memory::Bytes held(const Device& device, Category category) {
  return device.allocator().categories()[static_cast<std::size_t>(category)];
}

Array tagged(const Device& device, Category category) {
  const memory::CategoryScope scope(category);
  return Array({100}, DType::float32, device);
}

}  // namespace

TEST_CASE("storage: memory lives as long as the last array that shows it") {
  const Device device = Device::open("virtual:cpu");
  Array view;
  {
    const Array x({10, 100}, DType::float32, device);
    CHECK(x.storage().is_unique());
    view = x.slice(0, 2, 3).transpose(0, 1);
    CHECK_FALSE(x.storage().is_unique());
    CHECK(view.storage() == x.storage());
    CHECK(x.storage()->bytes() == 4000);
  }
  CHECK(view.storage().is_unique());
  CHECK(device.allocator().allocated() == 4096);
  Array moved = std::move(view);
  CHECK_FALSE(view.defined());
  moved = Array();
  CHECK(device.allocator().allocated() == 0);
}

TEST_CASE("storage: arrays are counted rightly before other threads begin, beside them and after them") {
  const Device device = Device::open("virtual:cpu");
  Array x({100}, DType::float32, device);
  std::vector<Array> before(4, x);
  std::vector<std::thread> threads;
  for (Array& one : before) {
    threads.emplace_back([&x, &one] {
      for (int i = 0; i < 50'000; ++i) {
        const Array copy = x, view = copy.slice(0, 0, 10);
      }
      one = Array();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(x.storage().is_unique());
  CHECK(device.allocator().allocated() == 512);
  x = Array();
  CHECK(device.allocator().allocated() == 0);
}

TEST_CASE("storage: no bytes need no block") {
  const Device device = Device::open("cpu");
  const Array x({0, 5}, DType::float32, device);
  CHECK(x.defined());
  CHECK(x.storage()->data() == nullptr);
  CHECK(x.storage()->category() == Category::other);
  x.storage()->set_category(Category::parameter);
  x.storage()->hold_for_backward();
  x.storage()->release_from_backward();
  CHECK(x.values<float>().empty());
  CHECK(x.permute({1, 0}).contiguous().to(DType::int64).numel() == 0);
  CHECK(device.allocator().reserved() == 0);
}

TEST_CASE("storage: categories change in the ledger") {
  const Device device = Device::open("virtual:cpu");
  const Array x = tagged(device, Category::input);
  CHECK(held(device, Category::input) == 512);
  x.storage()->set_category(Category::parameter);
  CHECK(x.storage()->category() == Category::parameter);
  CHECK(held(device, Category::input) == 0);
  CHECK(held(device, Category::parameter) == 512);
}

TEST_CASE("storage: a live activation is a saved one while a gradient closure holds it") {
  const Device device = Device::open("virtual:cpu");
  const Array x = tagged(device, Category::live_activation), copy = x;
  Storage& storage = *x.storage();
  storage.hold_for_backward();
  storage.hold_for_backward();
  CHECK(held(device, Category::saved_activation) == 512);
  storage.release_from_backward();
  CHECK(storage.category() == Category::saved_activation);
  storage.release_from_backward();
  CHECK(storage.category() == Category::live_activation);

  // Others stay what they are.
  const Array weight = tagged(device, Category::parameter);
  weight.storage()->hold_for_backward();
  CHECK(weight.storage()->category() == Category::parameter);
  weight.storage()->release_from_backward();
  CHECK(weight.storage()->category() == Category::parameter);

  // Another reason that is given meanwhile is kept.
  storage.hold_for_backward();
  storage.set_category(Category::gradient);
  storage.release_from_backward();
  CHECK(storage.category() == Category::gradient);
}

TEST_CASE("storage: who saves an activation is named with it") {
  const Device device = Device::open("virtual:cpu");
  const Array x = tagged(device, Category::live_activation);
  std::string op, module;
  {
    const memory::OpScope scope("relu");
    const memory::ModuleScope path("net.act");
    x.storage()->hold_for_backward();
  }
  CHECK(std::string(x.storage()->block()->tag.op) == "relu");
  CHECK(std::string(x.storage()->block()->tag.module) == "net.act");
  // The last holder's release is followed by a free: no event in between.
  std::vector<memory::EventKind> kinds;
  const auto subscription =
      device.allocator().subscribe([&](const memory::Event& event) { kinds.push_back(event.kind); });
  x.storage()->release_from_backward();
  CHECK(kinds.empty());
}

// A loss could not be read after running out of memory: its cast to double wanted a block.
TEST_CASE("array: reading values in row-major order allocates nothing on the device, whatever their dtype") {
  for (const char* name : {"cpu:2MiB", "virtual:cpu:2MiB"}) {
    const Device device = Device::open(name);
    const Array x({1000}, DType::float32, device), all({2000, 512}, DType::uint8, device);
    const auto count = device.allocator().statistics().allocation.all.allocated;
    device.backend().fill(x, 3);
    CHECK(x.values<double>().size() == 1000);
    CHECK(x.slice(0, 4, 9).values<std::int64_t>() == std::vector<std::int64_t>(5, device.is_virtual() ? 0 : 3));
    CHECK((device.is_virtual() || x.slice(0, 1, 2).item() == 3));
    CHECK(device.allocator().statistics().allocation.all.allocated == count);
  }
}

// A vector of bool has its elements in bits; programs that gave one did not link.
TEST_CASE("array: booleans from the host") {
  const std::vector<bool> values{true, false, false, true, true, false};
  const Array x = Array::from(values, {2, 3});
  CHECK(x.dtype() == DType::boolean);
  CHECK(x.values<bool>() == values);
  CHECK(x.values<std::int64_t>() == std::vector<std::int64_t>{1, 0, 0, 1, 1, 0});
  CHECK(Array::from(values, {6}, Device::open("virtual:cpu")).values<bool>() == std::vector<bool>(6));
  CHECK_THROWS_AS(Array::from(values, {5}), ShapeError);
}

TEST_CASE("array: undefined ones are errors, not crashes") {
  const Array none;
  CHECK_FALSE(none.defined());
  CHECK_THROWS_AS(none.to(DType::float64), Error);
  CHECK_THROWS_AS(none.to(DType::float32), Error);
  CHECK_THROWS_AS(none.to(Device("cpu")), Error);
  CHECK_THROWS_AS((void)none.values<float>(), Error);
  CHECK_THROWS_AS((void)none.item(), Error);
  CHECK_THROWS_AS(Array::from<float>({1, 2, 3}, {2}, "cpu"), ShapeError);
  CHECK_THROWS_AS((void)Array({2}, DType::float32, "cpu").item(), ShapeError);
  CHECK_THROWS_AS((void)Array({0}, DType::float32, "cpu").item(), ShapeError);
}

TEST_CASE("storage: between which numbers integers lie is known until they are changed in place") {
  const auto known = [](const Array& array) {
    const auto range = array.storage()->integers();
    return range ? fmt::format("{} to {}", range->least, range->greatest) : "unknown";
  };
  const Array x = Array::from<std::int64_t>({4, -3, 9, 0}, {2, 2}, "cpu");
  CHECK(known(x) == "-3 to 9");
  CHECK(known(x.slice(0, 0, 1)) == "-3 to 9");
  CHECK(known(x.transpose(0, 1).contiguous()) == "-3 to 9");
  CHECK(known(x.to(Device::open("cpu"))) == "-3 to 9");
  CHECK(known(x.to(DType::int32)) == "unknown");
  CHECK(known(Array({2}, DType::int64, "cpu")) == "unknown");
  CHECK(known(Array::from<float>({4, 5}, {2}, "cpu")) == "unknown");
  CHECK(known(Array::from<std::int64_t>({}, {0}, "cpu")) == "unknown");

  const Array y = Array::from<std::int64_t>({1, 2, 3, 4}, {2, 2}, "cpu");
  x.storage()->swap_contents(*y.storage());
  CHECK(known(x) == "unknown");
  CHECK(known(y) == "unknown");
  const Array z = Array::from<std::int64_t>({1, 2}, {2}, "cpu");
  copy_into(x.slice(0, 0, 1).squeeze(0), z);
  CHECK(known(z) == "unknown");
}
