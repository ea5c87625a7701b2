// Checkpointed regions against the plain run: the same bits, fewer bytes, by arithmetic on paper.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/memory/allocator.h>

#include "autograd/refusal.h"

using namespace mnemo;
using memory::Bytes;
using memory::Category;

namespace {

constexpr Bytes kMiB = 1 << 20;

enum class How { plain, regions, nested, selective };

/// Two blocks of convolution, batch normalization and dropout with a skip around each, and a linear head.
struct Net {
  Device device;
  Tensor w1 = leaf({8, 4, 3, 3}), w2 = leaf({8, 8, 3, 3}), w3 = leaf({8, 8, 3, 3}), head = leaf({5, 8});
  Tensor gain = leaf({8}), shift = leaf({8});
  Tensor mean = zeros({8}, {.device = device}), variance = ones({8}, {.device = device});
  bool training = true;

  explicit Net(Device on) : device(std::move(on)) {}
  Tensor leaf(const Shape& shape) { return randn(shape, {.device = device, .requires_grad = true}); }
  std::vector<Tensor> parameters() const { return {w1, w2, w3, head, gain, shift}; }

  Tensor norm(const Tensor& x) { return batch_norm(x, gain, shift, mean, variance, {.training = training}); }
  Tensor stem(const Tensor& x) { return dropout(relu(norm(conv2d(x, w1, {}, {.padding = 1}))), 0.25, training); }
  Tensor half(const Tensor& x, const Tensor& w) {
    return dropout(gelu(norm(conv2d(x, w, {}, {.padding = 1}))), 0.5, training);
  }
  Tensor tail(const Tensor& x) {
    Tensor y = half(x, w2);
    y = y + x;
    relu_(y);
    return y * (half(y, w3) + x);
  }

  Tensor forward(const Tensor& x, How how) {
    const CheckpointOptions options{.keep = how == How::selective ? std::vector<std::string>{"conv2d"}
                                                                  : std::vector<std::string>{}};
    Tensor y;
    if (how == How::plain) {
      y = tail(stem(x));
    } else if (how == How::nested) {
      y = checkpoint(
          [this](const Tensor& a) {
            const Tensor b = checkpoint([this](const Tensor& c) { return stem(c); }, a);
            return checkpoint(
                       [this](const Tensor& c) { return tail(checkpoint([](const Tensor& d) { return tanh(d); }, c)); },
                       b) +
                   b;
          },
          x);
      return linear(mnemo::mean(y, {2, 3}), head);
    } else {
      y = checkpoint(
          options, [this](const Tensor& a) { return stem(a); }, x);
      y = checkpoint(
          options, [this](const Tensor& a) { return tail(a); }, y);
    }
    return linear(mnemo::mean(y, {2, 3}), head);
  }
  /// What `nested` computes, without regions.
  Tensor forward_like_nested(const Tensor& x) {
    const Tensor b = stem(x);
    return linear(mnemo::mean(tail(tanh(b)) + b, {2, 3}), head);
  }
};

struct Outcome {
  std::vector<std::vector<float>> values;  // losses, gradients, statistics
  std::vector<Bytes> bytes;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const char* device_name, How how, bool like_nested = false) {
  const Device device = Device::open(device_name);
  const DeviceScope scope(device);
  manual_seed(11);
  Net net(device);
  const Tensor x = randn({3, 4, 6, 6});
  Outcome outcome;
  for (int step = 0; step < 2; ++step) {  // the second one adds to the gradients of the first
    device.allocator().reset_peak();
    {
      const Tensor y = like_nested ? net.forward_like_nested(x) : net.forward(x, how);
      const Tensor loss = mnemo::mean(y * y);
      outcome.values.push_back(loss.values<float>());
      loss.backward();
    }
    outcome.bytes.push_back(device.allocator().allocated());
    outcome.bytes.push_back(device.allocator().peak().allocated);
    CHECK(device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)] == 0);
    CHECK(device.allocator().categories()[static_cast<std::size_t>(Category::temporary)] == 0);
  }
  for (const Tensor& parameter : net.parameters()) outcome.values.push_back(parameter.grad().values<float>());
  outcome.values.push_back(net.mean.values<float>());
  outcome.values.push_back(net.variance.values<float>());
  outcome.values.push_back(rand({3}).values<float>());  // the stream goes on as if nothing had been computed again
  return outcome;
}

struct Bench {
  Device device = Device::open("virtual:cpu");
  Tensor leaf(const Shape& shape) { return zeros(shape, {.device = device, .requires_grad = true}); }
  Bytes allocated() const { return device.allocator().allocated(); }
  Bytes saved() const { return device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)]; }
};

Tensor exp_times(int count, Tensor x) {
  for (int i = 0; i < count; ++i) x = exp(x);
  return x;
}

}  // namespace

TEST_CASE("losses, gradients, running statistics and the random stream are those of the plain run, bit for bit") {
  const Outcome plain = run("cpu", How::plain);
  for (const How how : {How::regions, How::selective}) {
    CAPTURE(static_cast<int>(how));
    const Outcome checkpointed = run("cpu", how);
    CHECK(checkpointed.values == plain.values);
    CHECK(checkpointed.bytes[0] == plain.bytes[0]);
    CHECK(checkpointed.bytes == run("virtual:cpu", how).bytes);
  }
  CHECK(run("cpu", How::nested).values == run("cpu", How::plain, true).values);
  CHECK(run("cpu", How::nested).bytes == run("virtual:cpu", How::nested).bytes);
}

TEST_CASE("a chain of equal layers: a boundary per segment, and one segment's layers at a time") {
  Bench bench;
  constexpr int n = 16, k = 4;
  const Tensor x = bench.leaf({kMiB / 4});
  const Bytes before = bench.allocated();
  Tensor y = x;
  for (int i = 0; i < n / k; ++i) y = checkpoint([](const Tensor& a) { return exp_times(k, a); }, y);
  const Tensor loss = sum(y);
  y = Tensor();
  CHECK(bench.saved() == (n / k - 1) * kMiB);  // the first segment's input is the leaf
  CHECK(bench.allocated() == before + (n / k - 1) * kMiB + 512);
  bench.device.allocator().reset_peak();
  loss.backward();
  // The last segment is computed again beside all boundaries; its own goes then (exp needs only its output), before the
  // first gradient comes. 512 bytes each for the loss and the gradient to start from.
  CHECK(bench.device.allocator().peak().allocated == before + (n / k - 1 + k) * kMiB + 2 * 512);
  CHECK(bench.allocated() == before + kMiB + 512);
}

TEST_CASE("nested: the inner boundaries exist only while backward is in the outer region") {
  Bench bench;
  const Tensor x = bench.leaf({kMiB / 4});
  const Bytes before = bench.allocated();
  const auto inner = [](const Tensor& a) { return exp_times(4, a); };
  const auto outer = [&](Tensor a) {
    for (int i = 0; i < 4; ++i) a = checkpoint(inner, a);
    return a;
  };
  Tensor y = checkpoint(outer, x);
  y = checkpoint(outer, y);
  const Tensor loss = sum(y);
  y = Tensor();
  CHECK(bench.saved() == kMiB);
  bench.device.allocator().reset_peak();
  loss.backward();
  // The outer boundary, three inner ones, four layers.
  CHECK(bench.device.allocator().peak().allocated == before + (1 + 3 + 4) * kMiB + 2 * 512);
  CHECK(bench.allocated() == before + kMiB + 512);
}

TEST_CASE("what is computed again is an activation of its operation and module, in the phase backward") {
  Bench bench;
  const Tensor x = bench.leaf({1024});
  Tensor loss;
  {
    const memory::ModuleScope module("net.block");
    loss = sum(checkpoint([](const Tensor& a) { return sigmoid(exp(a)) * 2.0; }, x));
  }
  std::vector<std::string> seen;
  const auto subscription = bench.device.allocator().subscribe([&](const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc)
      seen.push_back(std::string(name(event.tag.phase)) + " " + event.tag.op + " " + event.tag.module + " " +
                     name(event.tag.category));
  });
  loss.backward();
  const std::vector<std::string> again{"backward exp net.block live_activation",
                                       "backward sigmoid net.block live_activation"};
  REQUIRE(seen.size() >= 4);
  CHECK(std::vector<std::string>(seen.begin() + 2, seen.begin() + 4) == again);
}

TEST_CASE("a recomputation stops behind the last thing that is needed") {
  const Tensor x = ones({2, 4, 5, 5}, {.requires_grad = true}), w = ones({4, 4, 3, 3}, {.requires_grad = true});
  int ends = 0;
  const Tensor y = checkpoint(
      [&](const Tensor& a) {
        const Tensor b = conv2d(relu(conv2d(a, w, {}, {.padding = 1})), w, {}, {.padding = 1}) * 3.0;
        ++ends;
        return b;
      },
      x);
  const ConvTrace trace;
  sum(y).backward();
  int forward = 0;
  for (const ConvTrace::Entry& entry : trace.entries()) forward += entry.pass == ConvPass::forward;
  CHECK(forward == 1);  // the second convolution's output is nobody's
  CHECK(ends == 1);
}

TEST_CASE("outputs that are kept are not computed again") {
  const Tensor w = full({4, 4, 3, 3}, 0.1, {.requires_grad = true});
  Tensor x = full({2, 4, 5, 5}, 0.5, {.requires_grad = true});
  const auto body = [&](const Tensor& a) { return tanh(conv2d(gelu(conv2d_relu(a, w)), w)); };
  sum(body(x)).backward();
  const std::vector<float> plain = x.grad().values<float>();
  const auto forward_passes = [&](const std::vector<std::string>& keep) {
    const Tensor y = checkpoint(CheckpointOptions{keep}, body, x);
    const ConvTrace trace;
    x.zero_grad();
    sum(y).backward();
    CHECK(x.grad().values<float>() == plain);
    int forward = 0;
    for (const ConvTrace::Entry& entry : trace.entries()) forward += entry.pass == ConvPass::forward;
    return forward;
  };
  CHECK(forward_passes({}) == 2);
  CHECK(forward_passes({"conv2d"}) == 0);
  CHECK_THROWS_WITH_AS(forward_passes({"gelu"}), doctest::Contains("\"gelu\" cannot be kept"), Error);
}

TEST_CASE("hooks and retained gradients inside a region are those of the plain run") {
  const Tensor x = tensor<double>({1, 2, 3}, {3}, "cpu", true);
  int calls = 0;
  Tensor middle;
  const auto body = [&](const Tensor& a) {
    Tensor b = a * a;
    if (!recomputing()) {
      b.retain_grad();
      b.register_hook([&](const Array& g) {
        ++calls;
        return map(UnaryOp::affine, g, {2, 0});
      });
      middle = b;
    }
    return b * b;
  };
  sum(checkpoint(body, x)).backward();
  CHECK(calls == 1);
  CHECK(middle.grad().values<double>() == std::vector<double>{4, 16, 36});  // twice 2 b
  CHECK(x.grad().values<double>() == std::vector<double>{8, 64, 216});      // twice 4 x^3
}

TEST_CASE("several inputs and outputs, some without gradient or undefined, and captured numbers") {
  const Tensor a = tensor<double>({1, 2}, {2}, "cpu", true), b = tensor<double>({3, 4}, {2});
  const double factor = 5;
  const auto [product, total] = checkpoint(
      [factor](const Tensor& u, const Tensor& v, const Tensor& nothing) {
        CHECK_FALSE(nothing.defined());
        return std::pair(exp(u * v) * factor, sum(u * u));
      },
      a, b, Tensor());
  (sum(product) * 0.0 + total).backward();
  CHECK(a.grad().values<double>() == std::vector<double>{2, 4});
  const Tensor free = checkpoint([](const Tensor& u) { return exp(u); }, b);
  CHECK_FALSE(free.requires_grad());
}

TEST_CASE("the graph can be retained, and is gone otherwise") {
  const Tensor x = tensor<double>({0.5}, {1}, "cpu", true);
  int runs = 0;
  const Tensor y = checkpoint([&](const Tensor& a) { return ++runs, exp(exp(a)); }, x);
  y.backward(true);
  const double once = x.grad().item();
  y.backward(true);
  CHECK(runs == 2);
  CHECK(x.grad().item() == once + once);
  y.backward();
  CHECK(mentions(refusal([&] { y.backward(); }), "is freed"));
  CHECK(runs == 2);
}

TEST_CASE("modes of the first time: evaluation in between, another policy, other random numbers") {
  const auto gradients = [](bool disturbed, bool checkpointed) {
    manual_seed(3);
    Net net{Device()};
    const Tensor x = randn({2, 4, 6, 6});
    Tensor loss;
    {
      const ConvPolicyScope policy({.choice = ConvPolicy::Choice::gemm});
      loss = sum(net.forward(x, checkpointed ? How::regions : How::plain));
    }
    if (disturbed) {
      net.training = false;
      rand({100});
    }
    const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
    loss.backward();
    std::vector<std::vector<float>> all;
    for (const Tensor& parameter : net.parameters()) all.push_back(parameter.grad().values<float>());
    return all;
  };
  CHECK(gradients(true, true) == gradients(false, false));
}

TEST_CASE("autocast: an input that an operation made is cast as in the first run") {
  const auto gradients = [](bool checkpointed) {
    manual_seed(7);
    const Tensor x = randn({3, 4}, {.requires_grad = true}), weight = randn({5, 4}, {.requires_grad = true});
    Tensor factors = ones({5});
    fill_(factors, 0.5);  // its version is another one than that of what is read before and behind it
    const auto block = [&](const Tensor& h) { return exp(linear(h, weight) * factors); };
    Tensor loss;
    {
      const AutocastScope half(DType::bfloat16);
      const Tensor h = tanh(x);
      loss = sum(checkpointed ? checkpoint(block, h) : block(h));
    }
    loss.backward();
    return std::vector{x.grad().values<float>(), weight.grad().values<float>()};
  };
  CHECK(gradients(true) == gradients(false));
}

TEST_CASE("a graph that is dropped without backward leaves nothing behind") {
  Bench bench;
  const Tensor x = bench.leaf({1024});
  const Bytes before = bench.allocated();
  {
    Tensor y = x * 2.0;
    for (int i = 0; i < 3; ++i) y = checkpoint([](const Tensor& a) { return exp_times(3, a); }, y);
    CHECK(bench.saved() == 3 * 4096);
  }
  CHECK(bench.allocated() == before);
  CHECK(no_grad([&] { return checkpoint([](const Tensor& a) { return exp(a); }, x); }).requires_grad() == false);
  CHECK(bench.allocated() == before);
}
