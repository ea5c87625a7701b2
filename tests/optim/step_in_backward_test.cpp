// The optimizer in backward: the bits of step(), one gradient at a time, and what cannot go with it.
#include <doctest/doctest.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/optim/clip.h>
#include <mnemo/optim/scaler.h>
#include <mnemo/optim/step_in_backward.h>

#include "optimizers.h"

using namespace optimizers;
using memory::Bytes;
using memory::Category;

namespace {

/// Two layers, the first of which is used twice, and a bias that is seldom used.
struct Net {
  Tensor w, v, seldom;
  std::vector<Tensor> parameters() const { return {w, v, seldom}; }
  Tensor loss(const Tensor& x, bool all) const {
    const Tensor y = tanh(matmul(tanh(matmul(x, w)), w));
    const Tensor z = matmul(y, v);
    return mean(pow(all ? z + seldom : z, 2));
  }
};

Net net_of(DType dtype) {
  numbers::Generator random(1);
  return {Tensor(random.array({6, 6}, dtype), true), Tensor(random.array({6, 3}, dtype), true),
          Tensor(random.array({3}, dtype), true)};
}

}  // namespace

TEST_CASE("step in backward: the same bits as step(), in every rule, dtype and under autocast") {
  for (const Rule& rule : all_rules()) {
    for (const DType dtype : {DType::float64, DType::float32, DType::bfloat16}) {
      for (const bool cast : {false, true}) {
        CAPTURE(rule.name);
        CAPTURE(std::string(name(dtype)));
        const Net usual = net_of(dtype), other = net_of(dtype);
        const auto one = rule.make(usual.parameters()), two = rule.make(other.parameters());
        const StepInBackward scope = step_in_backward(*two);
        numbers::Generator random(2);
        for (int step = 0; step < 6; ++step) {
          const Tensor x(random.array({4, 6}, dtype));
          for (const Net* net : {&usual, &other}) {
            const AutocastScope half(AutocastState{.enabled = cast, .dtype = DType::bfloat16});
            (net == &usual ? one : two)->zero_grad();
            net->loss(x, step % 2 == 1).backward();
            if (net == &usual) one->step();
          }
          for (std::size_t i = 0; i < 3; ++i) {
            CHECK_FALSE(other.parameters()[i].grad().defined());
            CHECK(numbers::same_bits(usual.parameters()[i].array(), other.parameters()[i].array()));
            CHECK(one->steps(i) == two->steps(i));
          }
        }
      }
    }
  }
}

TEST_CASE("step in backward: of many gradients one is there at a time, the same bytes on virtual:cpu") {
  std::vector<Bytes> seen[2];
  for (const char* where : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(where);
    const auto subscription =
        device.allocator().subscribe([&, virtually = device.is_virtual()](const memory::Event& e) {
          seen[virtually ? 1 : 0].push_back(e.allocated);
        });
    constexpr int kLayers = 6;
    constexpr Bytes kOne = 128 * 128 * 4;
    std::vector<Tensor> weights;
    std::vector<Bytes> kept;  // gradients that are there when the next one arrives
    for (int i = 0; i < kLayers; ++i) {
      weights.push_back(full({128, 128}, 0.01, {.device = device, .requires_grad = true}));
      weights.back().register_hook([&](const Array&) {
        kept.push_back(device.allocator().categories()[static_cast<std::size_t>(Category::gradient)]);
        return Array();
      });
    }
    for (const bool in_backward : {false, true}) {
      Adam optimizer(weights);
      std::optional<StepInBackward> scope;
      if (in_backward) scope.emplace(optimizer);
      for (int step = 0; step < 2; ++step) {
        optimizer.zero_grad();
        kept.clear();
        Tensor x = ones({16, 128}, {.device = device});
        for (const Tensor& weight : weights) x = matmul(x, weight);
        sum(x).backward();
        if (!in_backward) optimizer.step();
        std::vector<Bytes> expected;
        for (int i = 0; i < kLayers; ++i) expected.push_back(in_backward ? 0 : i * kOne);
        CHECK(kept == expected);
      }
      for (Tensor& weight : weights) weight.zero_grad();
    }
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("step in backward: what needs all gradients is refused before anything is changed") {
  Tensor w = parameter_of({1, 2}, {2}, DType::float32);
  SGD optimizer({w}, {.lr = 1});
  {
    const StepInBackward scope(optimizer);
    CHECK(optimizer.steps_in_backward());
    CHECK_THROWS_WITH_AS(optimizer.step(), doctest::Contains("during backward"), GradError);
    CHECK_THROWS_WITH_AS(clip_grad_norm(std::vector{w}, 1), doctest::Contains("clip_grad_norm"), GradError);
    GradScaler scaler;
    CHECK_THROWS_WITH_AS(scaler.scale(sum(w * 2.0)), doctest::Contains("step_in_backward"), GradError);
    CHECK_NOTHROW(scaler.scale(sum(w.detach())));
    CHECK_THROWS_AS(scaler.step(optimizer), GradError);
    CHECK_THROWS_AS(scaler.unscale(optimizer), GradError);
    CHECK_THROWS_AS(StepInBackward{optimizer}, GradError);
    CHECK(w.values<float>() == std::vector<float>{1, 2});
    // A second backward of the same step would accumulate.
    sum(w).backward();
    CHECK(w.values<float>() == std::vector<float>{0, 1});
    CHECK_THROWS_WITH_AS(sum(w).backward(), doctest::Contains("cannot be accumulated"), GradError);
    CHECK(w.values<float>() == std::vector<float>{0, 1});
    CHECK_FALSE(w.grad().defined());
    optimizer.zero_grad();
    sum(w).backward();
    CHECK(w.values<float>() == std::vector<float>{-1, 0});
  }
  CHECK_FALSE(optimizer.steps_in_backward());
  sum(w).backward();
  CHECK(w.grad().defined());
  CHECK_THROWS_WITH_AS(StepInBackward{optimizer}, doctest::Contains("zero_grad() first"), GradError);
  optimizer.step();
  CHECK(w.values<float>() == std::vector<float>{-2, -1});
}

// The weight is needed for the gradient of its input: an update that came too early would change it.
TEST_CASE("step in backward: a graph that is kept notices that its parameters have moved on") {
  Tensor w = parameter_of({1, 2}, {2}, DType::float32), x = parameter_of({3, 4}, {2}, DType::float32);
  SGD optimizer({w}, {.lr = 1});
  const StepInBackward scope(optimizer);
  const Tensor loss = sum(w * x);
  loss.backward(true);
  CHECK(x.grad().values<float>() == std::vector<float>{1, 2});
  CHECK(w.values<float>() == std::vector<float>{-2, -2});
  optimizer.zero_grad();
  CHECK_THROWS_WITH_AS(loss.backward(), doctest::Contains("changed in place"), GradError);
}

TEST_CASE("step in backward: running out of memory leaves a parameter as it was, and the next backward works") {
  const Device device = Device::open("virtual:cpu:8MiB");
  Tensor w = ones({512, 512}, {.device = device, .requires_grad = true});
  Adam optimizer({w});
  const StepInBackward scope(optimizer);
  std::vector<Array> ballast;
  const auto loss = [&] { return sum(w); };
  for (int i = 0; i < 4; ++i) ballast.emplace_back(Shape{512, 512}, DType::float32, device);
  const Bytes before = device.allocator().allocated();
  CHECK_THROWS_AS(loss().backward(), OutOfMemory);
  CHECK(optimizer.steps(0) == 0);
  CHECK_FALSE(w.grad().defined());
  CHECK(device.allocator().allocated() == before);
  ballast.clear();
  loss().backward();
  CHECK(optimizer.steps(0) == 1);
}
