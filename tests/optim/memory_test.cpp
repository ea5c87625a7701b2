// What a step allocates: state once, temporaries never, and nothing at all when memory runs out.
#include <doctest/doctest.h>

#include <mnemo/core/families.h>

#include "optimizers.h"

using namespace optimizers;
using memory::Bytes;
using memory::Category;

namespace {

Bytes held(const Device& device, Category category) {
  return device.allocator().categories()[static_cast<std::size_t>(category)];
}

/// 512 bytes are the smallest block.
Bytes blocks(const Shape& shape, DType dtype) {
  return shape.numel() == 0 ? 0 : memory::round_up(shape.numel() * size_of(dtype), 512);
}

/// A parameter with a gradient.
Tensor trained(const Shape& shape, DType dtype, const Device& device) {
  Tensor parameter;
  {
    const memory::CategoryScope category(Category::parameter);
    parameter = Tensor(full(shape, 1, dtype, device), true);
  }
  const memory::CategoryScope category(Category::gradient);
  parameter.set_grad(Tensor(full(shape, 0.5, dtype, device)));
  return parameter;
}

}  // namespace

TEST_CASE(
    "optimizer memory: state is made at the first step, to the byte, and steps need nothing else; on virtual:cpu as on "
    "cpu") {
  for (const Rule& rule : all_rules()) {
    for (DType dtype : {DType::float32, DType::float16}) {
      std::vector<std::pair<Bytes, Bytes>> seen[2];
      for (const char* where : {"cpu", "virtual:cpu"}) {
        CAPTURE(rule.name);
        CAPTURE(where);
        const Device device = Device::open(where);
        const auto subscription =
            device.allocator().subscribe([&, virtually = device.is_virtual()](const memory::Event& event) {
              seen[virtually ? 1 : 0].emplace_back(event.allocated, event.reserved);
            });
        Bytes one = 0;
        std::vector<Tensor> parameters;
        for (const Shape& shape : {Shape{100, 300}, Shape{7}, Shape{}, Shape{0}, Shape{600, 1000}}) {
          parameters.push_back(trained(shape, dtype, device));
          one += blocks(shape, dtype);
        }
        const auto optimizer = rule.make(parameters);
        CHECK(device.allocator().allocated() == 2 * one);
        CHECK(held(device, Category::optimizer_state) == 0);
        for (int step = 0; step < 3; ++step) {
          device.allocator().reset_peak();
          const auto count = device.allocator().statistics().allocation.all.allocated;
          optimizer->step();
          CHECK(held(device, Category::optimizer_state) == rule.moments() * one);
          CHECK(device.allocator().allocated() == (2 + rule.moments()) * one);
          CHECK(device.allocator().peak().allocated == device.allocator().allocated());
          if (step > 0) CHECK(device.allocator().statistics().allocation.all.allocated == count);
        }
        CHECK(held(device, Category::parameter) == one);
        CHECK(held(device, Category::temporary) == 0);
      }
      CHECK(seen[0] == seen[1]);
    }
  }
}

TEST_CASE("optimizer memory: state is named with the phase and the operation that made it") {
  const Device device = Device::open("virtual:cpu");
  std::vector<memory::Tag> tags;
  Adam optimizer({trained({100}, DType::float32, device)});
  const auto subscription = device.allocator().subscribe([&](const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc) tags.push_back(event.tag);
  });
  optimizer.step();
  REQUIRE(tags.size() == 2);
  for (const memory::Tag& tag : tags) {
    CHECK(tag.category == Category::optimizer_state);
    CHECK(tag.phase == memory::Phase::optimizer);
    CHECK(std::string(tag.op) == "update");
  }
}

TEST_CASE("optimizer memory: a parameter gets its state with its first gradient") {
  const Device device = Device::open("virtual:cpu");
  Tensor early = trained({100}, DType::float32, device), late = trained({1000}, DType::float32, device);
  const Tensor gradient = late.grad();
  late.set_grad({});
  Adam optimizer({early, late});
  optimizer.step();
  CHECK(held(device, Category::optimizer_state) == 2 * 512);
  late.set_grad(gradient);
  optimizer.step();
  CHECK(held(device, Category::optimizer_state) == 2 * 512 + 2 * 4096);
}

// A gradient of (5, 1) with the strides of its transpose was copied though it lies in the same order.
TEST_CASE("optimizer memory: strides along axes of size 1 need no copy of the gradient, others one") {
  const Device device = Device::open("cpu");
  Tensor parameter = trained({5, 1}, DType::float32, device);
  parameter.set_grad(Tensor(Array::from<float>({1, 2, 3, 4, 5}, {1, 5}, device).transpose(0, 1)));
  REQUIRE_FALSE(parameter.grad().array().strides() == parameter.array().strides());
  SGD optimizer({parameter}, {.lr = 1});
  const auto count = device.allocator().statistics().allocation.all.allocated;
  optimizer.step();
  CHECK(device.allocator().statistics().allocation.all.allocated == count);
  CHECK(parameter.values<float>() == std::vector<float>{0, -1, -2, -3, -4});

  Tensor square = trained({2, 2}, DType::float32, device);
  square.set_grad(Tensor(Array::from<float>({1, 2, 3, 4}, {2, 2}, device).transpose(0, 1)));
  SGD other({square}, {.lr = 1});
  const Bytes before = device.allocator().allocated();
  other.step();
  CHECK(device.allocator().allocated() == before);
  CHECK(square.values<float>() == std::vector<float>{0, -2, -1, -3});
}

TEST_CASE("optimizer memory: running out while state is made leaves everything as it was, and the next step works") {
  for (const char* where : {"cpu:8MiB", "virtual:cpu:8MiB"}) {
    CAPTURE(where);
    const Device device = Device::open(where);
    // Four segments of 2 MiB; parameters, gradients and three of four moments fit.
    std::vector<Tensor> parameters;
    for (int i = 0; i < 2; ++i) parameters.push_back(trained({256, 1024}, DType::float32, device));
    std::vector<Tensor> ballast;
    const auto optimizer = Rule{.name = "adam", .adam = AdamOptions{.lr = 0.1}}.make(parameters);
    while (device.allocator().allocated() < 5 * memory::MiB)
      ballast.push_back(Tensor(full({256, 1024}, 0, DType::float32, device)));
    const Bytes allocated = device.allocator().allocated();
    const auto categories = device.allocator().categories();
    const auto version = parameters[0].array().storage()->version();
    for (int attempt = 0; attempt < 2; ++attempt) {
      CHECK_THROWS_AS(optimizer->step(), OutOfMemory);
      CHECK(device.allocator().allocated() == allocated);
      CHECK(device.allocator().categories() == categories);
      CHECK(parameters[0].array().storage()->version() == version);
    }
    if (!device.is_virtual())
      CHECK(parameters[0].array().slice(0, 0, 1).slice(1, 0, 2).values<float>() == std::vector<float>{1, 1});
    ballast.clear();
    optimizer->step();
    CHECK(held(device, Category::optimizer_state) == 4 * memory::MiB);
    // The step that failed did not count: this was the first, of length lr.
    if (!device.is_virtual())
      CHECK(parameters[1].array().slice(0, 0, 1).slice(1, 0, 1).item() == doctest::Approx(0.9).epsilon(1e-6));
  }
}

// State stayed behind when the copy of a gradient found no room.
TEST_CASE("optimizer memory: running out while a gradient is copied leaves no state behind") {
  const Device device = Device::open("virtual:cpu:8MiB");
  Tensor parameter = trained({512, 512}, DType::float32, device);
  parameter.set_grad(Tensor(Array({512, 512}, DType::float32, device).transpose(0, 1)));
  Adam optimizer({parameter});
  std::vector<Array> ballast;
  for (int i = 0; i < 4; ++i) ballast.emplace_back(Shape{512, 512}, DType::float32, device);
  const Bytes allocated = device.allocator().allocated();
  REQUIRE(allocated == 6 * memory::MiB);
  CHECK_THROWS_AS(optimizer.step(), OutOfMemory);
  CHECK(device.allocator().allocated() == allocated);
  CHECK(held(device, Category::optimizer_state) == 0);
  ballast.clear();
  optimizer.step();
  CHECK(held(device, Category::optimizer_state) == 2 * memory::MiB);
}
