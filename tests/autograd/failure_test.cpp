// Exceptions in the middle of a step: gradients as before, no bytes left behind, and the next step gives the same
// numbers.
#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;

namespace {

constexpr std::int64_t kCount = 3 << 20;  // 12 MiB of float32: blocks of this size have a segment of their own

struct Model {
  Device device;
  Tensor x = leaf(0.25, false), w1 = leaf(0.5, true), w2 = leaf(-0.75, true);

  explicit Model(Device on) : device(std::move(on)) {}
  Tensor leaf(double value, bool requires_grad) {
    return full({kCount}, value, {.device = device, .requires_grad = requires_grad});
  }
  /// Three blocks at most in forward, four in backward: the two saved ones and the gradients of both.
  Tensor loss() {
    Tensor a = w1 * x;
    a = tanh(a);
    Tensor b = w2 * x;
    b = sigmoid(b);
    return mean(a * b);
  }
};

enum class Outcome { forward_failed, backward_failed, done };

Outcome step(Model& model) {
  Tensor loss;
  try {
    loss = model.loss();
  } catch (const OutOfMemory&) {
    return Outcome::forward_failed;
  }
  try {
    loss.backward();
  } catch (const OutOfMemory& error) {
    CHECK(error.details().tag.phase == memory::Phase::backward);
    return Outcome::backward_failed;
  }
  return Outcome::done;
}

void fail_everywhere(const char* device_name, int ballasts) {
  Model reference(Device::open(device_name));
  REQUIRE(step(reference) == Outcome::done);
  const auto expected = std::pair(sum(reference.w1.grad()).item(), sum(reference.w2.grad()).item());

  Model model(Device::open(device_name));
  int count[3] = {};
  for (int ballast = 0; ballast <= ballasts; ++ballast) {
    CAPTURE(ballast);
    model.w1.zero_grad(), model.w2.zero_grad();
    model.device.allocator().empty_cache();
    const auto before = model.device.allocator().allocated();
    std::vector<Tensor> blocks;
    for (int i = 0; i < ballast; ++i) blocks.push_back(model.leaf(0, false));
    const Outcome outcome = step(model);
    ++count[static_cast<int>(outcome)];
    if (outcome == Outcome::done) continue;
    CHECK_FALSE(model.w1.grad().defined());
    CHECK_FALSE(model.w2.grad().defined());
    blocks.clear();
    CHECK(model.device.allocator().allocated() == before);
    CHECK(grad_enabled());
    CHECK(memory::current_tag().phase == memory::Phase::forward);
    CHECK(std::string(memory::current_tag().op).empty());
    REQUIRE(step(model) == Outcome::done);
    if (model.device.is_virtual()) continue;
    CHECK(sum(model.w1.grad()).item() == expected.first);
    CHECK(sum(model.w2.grad()).item() == expected.second);
  }
  CHECK(count[0] > 0);
  CHECK(count[1] > 0);
  CHECK(count[2] > 0);
}

}  // namespace

TEST_CASE("out of memory at any point of a step, on the cpu") { fail_everywhere("cpu:150MiB", 9); }

TEST_CASE("out of memory at any point of a step, on a virtual device") { fail_everywhere("virtual:150MiB", 9); }

TEST_CASE("an exception from a hook leaves no gradient behind, and the graph can be dropped and run again") {
  const Device device = Device::open("cpu");
  const Tensor x = ones({4096}, {.device = device, .requires_grad = true}),
               late = ones({4096}, {.device = device, .requires_grad = true});
  const auto before = device.allocator().allocated();
  bool throws = true;
  const auto build = [&] {
    Tensor h = exp(x);
    h.register_hook([&](const Array&) -> Array {
      if (throws) throw std::runtime_error("from the hook");
      return {};
    });
    return sum(exp(h) * late);
  };
  {
    const Tensor loss = build();
    CHECK_THROWS_AS(loss.backward(), std::runtime_error);
    CHECK_FALSE(x.grad().defined());
    CHECK_FALSE(late.grad().defined());
    CHECK(grad_enabled());
  }
  CHECK(device.allocator().allocated() == before);
  throws = false;
  build().backward();
  CHECK(x.grad().values<double>()[0] == doctest::Approx(std::exp(1.0) * std::exp(std::exp(1.0))).epsilon(1e-5));
}

TEST_CASE("what a failed backward leaves of a retained graph can be run again") {
  Tensor x = tensor<double>({2}, {1}, "cpu", true);
  Tensor h = x * x;
  bool throws = true;
  h.register_hook([&](const Array&) -> Array {
    if (throws) throw std::runtime_error("from the hook");
    return {};
  });
  const Tensor loss = h * h;
  CHECK_THROWS_AS(loss.backward(true), std::runtime_error);
  throws = false;
  loss.backward(true);
  CHECK(x.grad().item() == 32);
}

TEST_CASE("shapes whose bytes overflow, or exceed the device, are errors and leave the allocator as it was") {
  const Device device = Device::open("cpu:1GiB");
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 31, std::int64_t{1} << 31, 4}, {.device = device}), ShapeError);
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 61}, {.device = device}), ShapeError);
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 60}, {.device = device}), OutOfMemory);
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 60, 7}, {.dtype = DType::uint8, .device = device}), OutOfMemory);
  const Tensor x = zeros({1}, {.device = device});
  const Tensor wide = expand(x, {std::int64_t{1} << 61});
  CHECK_THROWS_AS(wide + wide, ShapeError);
  CHECK_THROWS_AS(concat({wide, wide, wide, wide}, 0), ShapeError);
  CHECK_THROWS_AS(expand(x, {std::int64_t{1} << 32, std::int64_t{1} << 32}), ShapeError);
  CHECK(device.allocator().allocated() == 512);
}
