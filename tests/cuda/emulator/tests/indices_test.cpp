// Indices whose range is known from how they were made: the host does not wait for the device to look at them.
#include <doctest/doctest.h>

#include <span>
#include <string>

#include <cuda_runtime_api.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/step_graph.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

using namespace mnemo;

namespace {

template <class F>
long long launches_of(const F& f) {
  const long long before = emulator::launches();
  f();
  return emulator::launches() - before;
}

std::string refusal_of(const Tensor& logits, const Tensor& targets) {
  try {
    cross_entropy(logits, targets);
  } catch (const ShapeError& error) {
    return error.what();
  }
  return "fine";
}

}  // namespace

TEST_CASE("cuda: indices that are good from how they were made are not looked at by a kernel") {
  const Device device = Device::open("cuda");
  const Tensor logits = zeros({4, 10}, {.device = device});
  const auto launches = [&](const Tensor& targets) {
    return launches_of([&] { CHECK(refusal_of(logits, targets) == "fine"); });
  };
  const Tensor unknown = Tensor(full({4}, 9, DType::int64, device));
  const long long with_a_look = launches(unknown);
  CHECK(launches(tensor(std::vector<std::int64_t>{0, 9, 3, 3}, {4}, device)) == with_a_look - 1);
  CHECK(launches(to(tensor(std::vector<std::int64_t>{0, 9, 3, 3}, {4}, "cpu"), device)) == with_a_look - 1);
  CHECK(launches(randint(0, 10, {4}, {.dtype = DType::int64, .device = device})) == with_a_look - 1);
  CHECK(launches(arange(4, device)) == with_a_look - 1);
  CHECK(launches(slice(arange(10, device), 0, 2, 6)) == with_a_look - 1);
  CHECK(launches(slice(arange(10, device), 0, 0, 10, 3)) == with_a_look + 1);  // copied to be checked, and to be read
  const Tensor labels = randint(0, 10, {100}, {.dtype = DType::int64, .device = device});
  CHECK(launches(index_select(labels, 0, arange(4, device))) == with_a_look - 1);
  // What could be wrong is looked at.
  CHECK(refusal_of(logits, tensor(std::vector<std::int64_t>{0, -100, 3, 3}, {4}, device)) != "fine");
  CHECK(refusal_of(logits, randint(10, 12, {4}, {.dtype = DType::int64, .device = device})) != "fine");
  CHECK(refusal_of(logits, tensor(std::vector<std::int64_t>{0, 9, 10, 3}, {4}, device))
            .find("target 10 is not a class") != std::string::npos);
}

TEST_CASE("cuda: what was known of indices is forgotten when they are changed in place") {
  const Device device = Device::open("cuda");
  const Tensor logits = zeros({4, 10}, {.device = device});
  Tensor targets = tensor(std::vector<std::int64_t>{0, 9, 3, 3}, {4}, device);
  copy_into(full({1}, 11, DType::int64, device), targets.array().slice(0, 2, 3));
  CHECK(refusal_of(logits, targets).find("target 11 is not a class") != std::string::npos);
  Tensor others = tensor(std::vector<std::int64_t>{0, 9, 3, 3}, {4}, device);
  others.array().storage()->swap_contents(*targets.array().storage());
  CHECK(refusal_of(logits, others).find("target 11 is not a class") != std::string::npos);
}

TEST_CASE("cuda: what a recorded step makes of indices may be others when it is repeated") {
  const Device device = Device::open("cuda");
  const DeviceScope scope(device);
  const Tensor logits = zeros({4, 10}, {.device = device});
  const Tensor table = tensor(std::vector<std::int64_t>{0, 1, 2, 3}, {4}, device);
  const Tensor places = tensor(std::vector<std::int64_t>{0, 1, 2, 3}, {4}, device);
  StepGraph graph(device);
  Tensor labels;
  const auto run = [&] {
    labels = graph.run({places}, [&](std::span<const Tensor> in) { return index_select(table, 0, in[0]); });
  };
  for (int i = 0; i < 3; ++i) run();
  CHECK(refusal_of(logits, labels) == "fine");
  copy_into(tensor(std::vector<std::int64_t>{0, 1, 12, 3}, {4}, device).array(), table.array());
  run();
  CHECK(refusal_of(logits, labels).find("target 12 is not a class") != std::string::npos);
}
