// What goes wrong between the two runs of a checkpointed region: refused with the reason, and nothing lost.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/refusal.h"

using namespace mnemo;
using memory::Bytes;

namespace {

constexpr Bytes kMiB = 1 << 20;

Tensor exp_times(int count, Tensor x) {
  for (int i = 0; i < count; ++i) x = exp(x);
  return x;
}

}  // namespace

TEST_CASE("changes between forward and backward are refused, and nothing is lost") {
  const auto refused = [](const std::function<void(Tensor & input, Tensor & weight, Tensor & bias)>& change) {
    const Tensor x = ones({4}, {.requires_grad = true});
    Tensor input = x * 2.0, weight = full({4}, 3, {.requires_grad = true}),
           bias = full({4}, 1, {.requires_grad = true});
    const Tensor y = checkpoint([&](const Tensor& a) { return exp(a * weight + bias); }, input);
    no_grad([&] { change(input, weight, bias); });
    const std::string text = refusal([&] { sum(y).backward(); });
    CHECK_FALSE(x.grad().defined());
    CHECK_FALSE(weight.grad().defined());
    return text;
  };
  CHECK(mentions(refused([](Tensor& input, Tensor&, Tensor&) { fill_(input, 1); }), "was changed in place"));
  CHECK(mentions(refused([](Tensor&, Tensor& weight, Tensor&) { fill_(weight, 1); }), "was changed in place"));
  // The plain run would not read it again; here the results would differ silently.
  CHECK(mentions(refused([](Tensor&, Tensor&, Tensor& bias) { fill_(bias, 1); }), "reads float32 (4) at version"));
}

TEST_CASE("a function that does something else the second time is refused; the next try can succeed") {
  const Tensor x = ones({4}, {.requires_grad = true});
  enum { first, shorter, others, fewer, draws, fails } mode = first;
  const auto body = [&](const Tensor& a) {
    if (mode == draws) rand({1});
    const Tensor b = mode == shorter ? slice(a, 0, 0, 2) : a;
    if (mode == fails) throw std::runtime_error("the disk is full");
    const Tensor c = mode == others ? tanh(b) : exp(b);
    return mode == fewer ? c * 1.0 : exp(c);
  };
  const Tensor loss = sum(checkpoint(body, x));
  const Bytes before = x.device().allocator().allocated();
  const RandomState random_before = random_state();
  mode = shorter;
  CHECK(mentions(refusal([&] { loss.backward(true); }), "exp saves float32 (2), where exp saved float32 (4)"));
  mode = others;
  CHECK(mentions(refusal([&] { loss.backward(true); }), "tanh saves"));
  mode = fewer;
  CHECK(mentions(refusal([&] { loss.backward(true); }), "it saves 1 arrays, the first time 2"));
  mode = draws;
  CHECK(mentions(refusal([&] { loss.backward(true); }), "other random numbers"));
  mode = fails;
  CHECK_THROWS_WITH_AS(loss.backward(true), "the disk is full", std::runtime_error);
  CHECK(x.device().allocator().allocated() == before);
  CHECK_FALSE(x.grad().defined());
  CHECK(random_state().offset == random_before.offset);
  CHECK_FALSE(recomputing());
  CHECK(Region::current() == nullptr);
  CHECK(grad_enabled());
  mode = first;
  loss.backward();
  const Tensor plain = ones({4}, {.requires_grad = true});
  sum(exp(exp(plain))).backward();
  CHECK(x.grad().values<float>() == plain.grad().values<float>());
}

TEST_CASE("backward inside the function is refused") {
  const Tensor x = ones({4}, {.requires_grad = true});
  CHECK(mentions(refusal([&] { checkpoint([](const Tensor& a) { return sum(exp(a)).backward(), a; }, x); }),
                 "cannot run inside"));
}

TEST_CASE("out of memory at every point: gradients and bytes as before, and with enough memory the step succeeds") {
  bool done = false;
  int failures = 0;
  for (int capacity = 2; !done; capacity += 2) {
    REQUIRE(capacity < 200);
    const Device device = Device::open("virtual:cpu:" + std::to_string(capacity) + "MiB");
    const DeviceScope scope(device);
    try {
      const Tensor x = zeros({3, 1 << 20}, {.requires_grad = true});  // 12 MiB: a segment of its own
      const Bytes before = device.allocator().allocated();
      try {
        Tensor y = checkpoint([](const Tensor& a) { return exp_times(2, a); }, x * 2.0);
        y = checkpoint(
            [](const Tensor& a) {
              return checkpoint([](const Tensor& b) { return exp_times(2, b); }, exp_times(2, a));
            },
            y);
        const Tensor loss = sum(y);
        y = Tensor();
        loss.backward();
        done = true;
      } catch (const OutOfMemory&) {
        ++failures;
      }
      if (!done) CHECK_FALSE(x.grad().defined());
      CHECK(device.allocator().allocated() == before + (done ? 12 * kMiB : 0));
      CHECK(Region::current() == nullptr);
    } catch (const OutOfMemory&) {  // not even x
    }
  }
  CHECK(failures > 5);
}

// A generator was trained through a checkpointed discriminator that was unfrozen before backward: gradients were wrong.
TEST_CASE("a leaf that is frozen or unfrozen between forward and backward is as it was while the region runs again") {
  for (const bool frozen : {true, false}) {
    CAPTURE(frozen);
    const Tensor z = tensor<double>({1, 2, 3}, {3}, "cpu", true);
    Tensor scale = tensor<double>({5, 7, 11}, {3}, "cpu", true);
    scale.set_requires_grad(!frozen);
    const auto forward = [&](const Tensor& a) {
      const Tensor y = a * scale;
      return y * y;
    };
    const Tensor loss = sum(checkpoint(forward, z));
    scale.set_requires_grad(frozen);
    loss.backward();  // 2 z scale^2
    CHECK(z.grad().values<double>() == std::vector<double>{50, 196, 726});
    CHECK(scale.requires_grad() == frozen);
    scale.set_requires_grad(true);
    CHECK_FALSE(scale.grad().defined());
  }
  // Of a product that nobody recorded no factor is saved, which could pass for what the next one saves.
  const Tensor x = tensor<double>({2, 3}, {2}, "cpu", true), u = tensor<double>({3, 4}, {2});
  Tensor w = tensor<double>({1, 2}, {2}, "cpu", true);
  w.set_requires_grad(false);
  const Tensor y = sum(checkpoint([&](const Tensor& a) { return a * (w * u); }, x));
  w.set_requires_grad(true);
  y.backward();
  CHECK(x.grad().values<double>() == std::vector<double>{3, 8});
}

TEST_CASE("a tensor that requires a gradient only behind forward is refused by the region that runs again") {
  const Tensor x = tensor<double>({2, 3}, {2}, "cpu", true);
  Tensor w = tensor<double>({1, 2}, {2});  // of which nobody has ever wanted a gradient
  const Tensor y = sum(checkpoint([&](const Tensor& a) { return exp(a * w); }, x));
  w.set_requires_grad(true);
  CHECK(mentions(refusal([&] { y.backward(); }), "does not do what the first run did"));
  CHECK_FALSE(x.grad().defined());
}
