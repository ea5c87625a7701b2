// What the graph keeps in memory, against arithmetic on paper. Sizes are multiples of 512 bytes, so that blocks are
// exact.
#include <doctest/doctest.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;
using memory::Bytes;
using memory::Category;

namespace {

struct Bench {
  Device device = Device::open("virtual:cpu");

  Tensor leaf(const Shape& shape) { return zeros(shape, {.device = device, .requires_grad = true}); }
  Tensor input(const Shape& shape) { return zeros(shape, {.device = device}); }
  Bytes held(Category category) const { return device.allocator().categories()[static_cast<std::size_t>(category)]; }
  Bytes saved() const { return held(Category::saved_activation); }
  Bytes allocated() const { return device.allocator().allocated(); }
};

constexpr Bytes kFloat = 4;

}  // namespace

TEST_CASE("sums keep nothing: a value lives as long as its handle") {
  Bench bench;
  const Tensor x = bench.leaf({1024}), y = bench.leaf({1024});
  const Bytes before = bench.allocated();
  Tensor z = x + y;
  CHECK(bench.held(Category::live_activation) == 1024 * kFloat);
  z = z - y;
  z = z * 3.0 + 1.0;
  z = reshape(z, {32, 32});
  CHECK(bench.allocated() == before + 1024 * kFloat);
  CHECK(bench.saved() == 0);
  CHECK(bench.held(Category::live_activation) == 1024 * kFloat);
  sum(z).backward();
  CHECK(bench.held(Category::gradient) == 2 * 1024 * kFloat);
}

TEST_CASE("conv -> relu -> conv keeps the input and, once, the output of relu") {
  Bench bench;
  const Tensor x = bench.input({8, 8, 16, 16}), w1 = bench.leaf({16, 8, 3, 3}), w2 = bench.leaf({32, 16, 3, 3});
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  const Bytes before = bench.allocated(), relu_bytes = 8 * 16 * 14 * 14 * kFloat, y_bytes = 8 * 32 * 12 * 12 * kFloat;
  Tensor y = conv2d(relu(conv2d(x, w1)), w2);
  CHECK(bench.saved() == relu_bytes);
  CHECK(bench.held(Category::live_activation) == y_bytes);
  CHECK(bench.allocated() == before + relu_bytes + y_bytes);
  const Tensor loss = sum(y);
  y = Tensor();
  CHECK(bench.allocated() == before + relu_bytes + 512);
  loss.backward();
  CHECK(bench.saved() == 0);
  CHECK(bench.held(Category::gradient) == 16 * 8 * 9 * kFloat + 32 * 16 * 9 * kFloat);
  CHECK(bench.allocated() == before + bench.held(Category::gradient) + 512);
}

TEST_CASE(
    "linear -> tanh -> linear keeps the output of tanh; without a gradient of the weights, nothing but the weights") {
  Bench bench;
  const Tensor x = bench.input({64, 128}), w1 = bench.leaf({256, 128}), b1 = bench.leaf({256}),
               w2 = bench.leaf({128, 256});
  const Tensor y = linear(tanh(linear(x, w1, b1)), w2);
  CHECK(bench.saved() == 64 * 256 * kFloat);
  CHECK(bench.held(Category::live_activation) == 64 * 128 * kFloat);

  Bench frozen;
  const Tensor u = frozen.leaf({64, 128}), fixed = frozen.input({256, 128});
  const Tensor v = linear(linear(u * 1.0, fixed), transpose(fixed, 0, 1));
  CHECK(frozen.saved() == 0);
}

TEST_CASE("what each op keeps") {
  struct Case {
    const char* name;
    Tensor (*op)(const Tensor&);
    Bytes kept;  // of an activation (64, 128) that nobody else holds
  };
  constexpr Bytes x = 64 * 128 * kFloat;
  const Case cases[] = {
      {"relu: its output", relu, x},
      {"gelu: its input", gelu, x},
      {"hardswish: its input", hardswish, x},
      {"mish: its input", mish, x},
      {"multiply by itself: one array", [](const Tensor& a) { return a * a; }, x},
      {"softmax: its output", [](const Tensor& a) { return softmax(a, 1); }, x},
      {"dropout: nothing", [](const Tensor& a) { return dropout(a, 0.5); }, 0},
      {"sum: nothing", [](const Tensor& a) { return sum(a); }, 0},
      {"permute: nothing",
       [](const Tensor& a) {
         return permute(a, {1, 0}) + 1.0;
       },
       0},
      {"concat: nothing",
       [](const Tensor& a) {
         return concat({a, a}, 0);
       },
       0},
      {"slice: nothing", [](const Tensor& a) { return slice(a, 0, 0, 32) + 1.0; }, 0},
      {"max: its input and its result", [](const Tensor& a) { return max(a, 1); }, x + 512},
      {"mse_loss: the difference", [](const Tensor& a) { return mse_loss(a, a); }, x},
      {"batch_norm: its input and two numbers per channel",
       [](const Tensor& a) { return batch_norm(a, {}, {}, {}, {}); }, x + 2 * 512},
  };
  for (const Case& one : cases) {
    CAPTURE(one.name);
    Bench bench;
    const Tensor base = bench.leaf({64, 128});
    const Bytes before = bench.allocated();
    Tensor y = one.op(base * 1.0);
    CHECK(bench.saved() == one.kept);
    const Bytes result =
        y.array().storage()->category() == Category::saved_activation ? 0 : y.array().storage()->block()->size;
    CHECK(bench.allocated() == before + one.kept + result);
    y.backward(zeros(y.shape(), {.device = bench.device}));
    CHECK(bench.saved() == 0);
    y = Tensor();
    CHECK(bench.allocated() == before + bench.held(Category::gradient));
  }
}

TEST_CASE("backward frees what was saved as it goes, with one gradient at a time; retain_graph keeps it") {
  Bench bench;
  constexpr Bytes one = 1 << 20;
  const Tensor x = bench.leaf({one / kFloat});
  std::vector<Bytes> seen;
  Tensor y = x;
  for (int i = 0; i < 8; ++i) {
    y = exp(y);
    y.register_hook([&](const Array&) {
      seen.push_back(bench.saved());
      return Array();
    });
  }
  const Tensor loss = sum(y);
  y = Tensor();
  CHECK(bench.saved() == 8 * one);
  loss.backward(true);
  CHECK(seen == std::vector<Bytes>(8, 8 * one));
  CHECK(bench.saved() == 8 * one);
  seen.clear();
  bench.device.allocator().reset_peak();
  const Bytes before = bench.allocated();
  loss.backward();
  CHECK(seen == std::vector<Bytes>{8 * one, 7 * one, 6 * one, 5 * one, 4 * one, 3 * one, 2 * one, one});
  CHECK(bench.saved() == 0);
  CHECK(bench.device.allocator().peak().allocated == before + one + 512);
}

TEST_CASE(
    "a saved value whose handle lives on is a live activation again after backward, saved by the op of the module that "
    "needed it") {
  Bench bench;
  const Tensor x = bench.leaf({1024});
  const Tensor h = x * 2.0;
  CHECK(bench.held(Category::live_activation) == 4096);
  Tensor loss;
  {
    const memory::ModuleScope module("net.act");
    loss = sum(gelu(h));
  }
  CHECK(bench.saved() == 4096);
  CHECK(std::string(h.array().storage()->block()->tag.op) == "gelu");
  CHECK(std::string(h.array().storage()->block()->tag.module) == "net.act");
  loss.backward();
  CHECK(bench.saved() == 0);
  CHECK(h.array().storage()->category() == Category::live_activation);
}

TEST_CASE("under no_grad nothing is saved, and parameters and inputs keep their own category") {
  Bench bench;
  const Tensor x = bench.leaf({1024});
  const Tensor y = no_grad([&] { return gelu(exp(x * x)); });
  CHECK(bench.saved() == 0);
  CHECK(bench.allocated() == 2 * 4096);
  const Tensor z = x * x;
  CHECK(bench.saved() == 0);
  CHECK(x.array().storage()->category() == Category::other);
}

TEST_CASE(
    "gradients that flow are temporary, those that stay are gradients, and backward is named by op, module and phase") {
  Bench bench;
  const Tensor x = bench.leaf({1024});
  Tensor y;
  {
    const memory::ModuleScope module("net.conv");
    y = gelu(x) * gelu(x);
  }
  std::vector<std::string> seen;
  const auto subscription = bench.device.allocator().subscribe([&](const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc) {
      seen.push_back(std::string(name(event.tag.phase)) + " " + event.tag.op + " " + event.tag.module + " " +
                     name(event.tag.category));
    }
  });
  y.backward(zeros({1024}, {.device = bench.device}));
  REQUIRE(seen.size() >= 3);
  CHECK(seen[0] == "forward full  other");  // the gradient to start from
  CHECK(seen[1] == "backward multiply net.conv temporary");
  CHECK(x.grad().array().storage()->category() == Category::gradient);
  CHECK(bench.held(Category::temporary) == 0);
}
