// Activations that wait on the host: the same bits, and the peak of the device by arithmetic on paper.
#include <doctest/doctest.h>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/offload.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;
using memory::Bytes;
using memory::Category;

namespace {

constexpr Bytes kMiB = 1 << 20;

Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
}

}  // namespace

TEST_CASE("a chain of eight: the device holds what is computed, the host what backward needs") {
  for (const char* name : {"virtual:cpu", "cpu"}) {
    CAPTURE(name);
    const Device device = Device::open(name), host = Device::open(name);
    const Tensor x = rand({kMiB / 4}, {.device = device, .requires_grad = true});
    const auto forward = [&] {
      Tensor y = x;
      for (int i = 0; i < 8; ++i) y = exp(y * 0.1);
      return sum(y);
    };
    forward().backward();
    const std::vector<float> plain = x.grad().values<float>();
    Tensor(x).zero_grad();
    device.allocator().reset_peak();
    const Bytes before = device.allocator().allocated();
    {
      const Tensor loss = offload(OffloadOptions{.host = host}, forward);
      CHECK(device.allocator().allocated() == before + 512);
      CHECK(saved(device) == 0);
      CHECK(host.allocator().allocated() == 8 * kMiB);
      CHECK(saved(host) == 8 * kMiB);
      // What went before, the input of exp, and its output.
      CHECK(device.allocator().peak().allocated == before + 3 * kMiB);
      device.allocator().reset_peak();
      loss.backward();
    }
    // The gradient that arrives, and the value that came back.
    CHECK(device.allocator().peak().allocated == before + 2 * kMiB + 2 * 512);
    CHECK(host.allocator().allocated() == 0);
    CHECK(device.allocator().allocated() == before + kMiB);
    if (!device.is_virtual()) CHECK(x.grad().values<float>() == plain);
  }
}

TEST_CASE("two operations that save the same array share its copy; small ones, parameters and inputs stay") {
  const Device device = Device::open("virtual:cpu"), host = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor w = randn({512, 512}, {.requires_grad = true});
  Tensor loss;
  {
    const OffloadScope offload({.threshold = kMiB, .host = host});
    const Tensor h = relu(matmul(randn({512, 512}), w));  // relu keeps its output, matmul its input
    loss = sum(matmul(h, w)) + sum(sin(slice(w, 0, 0, 1) * 2.0));
    CHECK(host.allocator().allocated() == kMiB);
  }
  CHECK(saved(device) == 512 * 4);  // the small one
  loss.backward();
  CHECK(host.allocator().allocated() == 0);
}

TEST_CASE("offloaded views, half types, regions, in-place changes and retained graphs give the plain gradients") {
  const auto run = [](bool offloaded, bool region, DType dtype) {
    manual_seed(5);
    const Tensor w = to(randn({8, 8, 3, 3}), dtype).detach().set_requires_grad(true);
    const Tensor x = to(randn({2, 8, 6, 6}), dtype);
    const auto body = [&](const Tensor& a) {
      const Tensor h = batch_norm_relu(conv2d(a, w, {}, {.padding = 1}), {}, {}, {}, {});
      const Tensor g = gelu(permute(slice(h, 1, 2, 6), {1, 0, 3, 2})) * 2.0;
      return conv2d(h, w) * mean(g);
    };
    std::optional<OffloadScope> scope;
    if (offloaded) scope.emplace(OffloadOptions{.threshold = 1});
    Tensor start = conv2d(x, w, {}, {.padding = 1});
    relu_(start);  // at version 1 where the region reads it
    Tensor y = region ? checkpoint(body, start) : body(start);
    y = tanh(y);
    const Tensor loss = sum(y * y);
    scope.reset();
    loss.backward(true);
    loss.backward();
    return w.grad().values<double>();
  };
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64}) {
    CHECK(run(false, false, dtype) == run(true, false, dtype));
    CHECK(run(false, true, dtype) == run(true, true, dtype));
  }
  // The copy was made before the change.
  const Tensor x = tensor(std::vector<float>{1, 2}, {2}, {}, true);
  const OffloadScope scope({.threshold = 1});
  Tensor y = x * 1.0;
  const Tensor z = sum(y * y);
  no_grad([&] { fill_(y, 100); });
  z.backward();
  CHECK(x.grad().values<float>() == std::vector<float>{2, 4});
}

TEST_CASE("without options tensors from 1 MiB on wait on the host of the whole process") {
  const Tensor x = rand({kMiB / 4}, {.requires_grad = true}), small = rand({kMiB / 4 - 1}, {.requires_grad = true});
  const Device host = offload_host(x.device());
  const Bytes before = host.allocator().allocated();
  const auto squares = [](const Tensor& a) { return sum(exp(a * 2.0)); };
  const Tensor y = offload(squares, x), z = offload(squares, small);
  CHECK(host.allocator().allocated() == before + kMiB);
  (y + z).backward();
  CHECK(host.allocator().allocated() == before);
  CHECK(!(host == x.device()));
}

TEST_CASE("a host without room for them: the operation fails, and the device is as before") {
  const Device device = Device::open("cpu"), host = Device::open("cpu:20MiB");  // one segment: five of 4 MiB
  const Tensor x = rand({kMiB}, {.device = device, .requires_grad = true});
  const Bytes before = device.allocator().allocated();
  {
    const OffloadScope scope({.host = host});
    Tensor y = x;
    for (int i = 0; i < 5; ++i) y = exp(y);
    CHECK_THROWS_AS((void)exp(y), OutOfMemory);
  }
  CHECK(device.allocator().allocated() == before);
  CHECK(host.allocator().allocated() == 0);
}
