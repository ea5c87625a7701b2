// Autocast: which dtype each op computes in, where gradients arrive, what the half copies of parameters cost and when
// they go.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "core/numbers.h"

using namespace mnemo;
using memory::Bytes;
using memory::Category;
using numbers::Generator;

namespace {

Bytes held(const Device& device, Category category) {
  return device.allocator().categories()[static_cast<std::size_t>(category)];
}

Tensor leaf(Generator& random, const Shape& shape, DType dtype = DType::float32) {
  return Tensor(random.array(shape, dtype), true);
}

/// The value rounded to a half type, by the conversion that tests/core/half_test.cpp checks in all its cases.
double rounded(double value, DType half) {
  return half == DType::float16 ? static_cast<double>(static_cast<float>(float16(static_cast<float>(value))))
                                : static_cast<double>(static_cast<float>(bfloat16(static_cast<float>(value))));
}

}  // namespace

TEST_CASE("autocast: each op has the dtype that users know") {
  Generator random(1);
  for (const DType half : {DType::float16, DType::bfloat16}) {
    for (const DType given : {DType::float32, half}) {
      CAPTURE(std::string(name(half)));
      CAPTURE(std::string(name(given)));
      const Tensor x = leaf(random, {2, 4}, given), w = leaf(random, {3, 4}), b = leaf(random, {3});
      const Tensor image = leaf(random, {2, 4, 5, 5}, given), kernel = leaf(random, {3, 4, 3, 3});
      const Tensor line = leaf(random, {2, 4, 5}, given), line_kernel = leaf(random, {3, 4, 3});
      const Tensor body = leaf(random, {2, 4, 3, 3, 3}, given), body_kernel = leaf(random, {3, 4, 3, 3, 3});
      const Tensor positive = exp(x.detach());
      const Tensor targets = tensor<std::int64_t>({0, 3}, {2});
      const Tensor channels = ones({4}), plain(random.array({2, 4}, DType::float32));
      const AutocastScope scope(half);
      for (const Tensor& y : {conv1d(line, line_kernel, b), conv2d(image, kernel, b), conv3d(body, body_kernel, b),
                              linear(x, w, b), linear(x, w), matmul(x, transpose(w, 0, 1)), matmul(x, ones({4}))})
        CHECK(y.dtype() == half);
      for (const Tensor& y : {softmax(x, 1), log_softmax(x, 1), cross_entropy(x, targets), mse_loss(x, plain), exp(x),
                              log(positive), pow(x, 2), sum(x), sum(x, {0}), 1.0 / x})
        CHECK(y.dtype() == DType::float32);
      for (const Tensor& y :
           {relu(x), sigmoid(x), tanh(x), gelu(x), x * 2.0, x + x, mean(x), max(x, 1), reshape(x, {8}),
            max_pool2d(image, {.kernel = 2}), avg_pool2d(image, {.kernel = 2}), dropout(x, 0.5),
            batch_norm(image, channels, channels, {}, {}), concat({x, x}, 0), sqrt(positive)})
        CHECK(y.dtype() == given);
      for (const Tensor& y : {x + plain, x - plain, x * plain, x / plain, maximum(x, plain), concat({x, plain}, 0)})
        CHECK(y.dtype() == DType::float32);
    }
  }
}

TEST_CASE("autocast: float64 is never cast, and off or outside nothing is") {
  Generator random(2);
  const Tensor x = leaf(random, {2, 4}), w = leaf(random, {3, 4}), wide = leaf(random, {2, 4}, DType::float64),
               wide_weight = leaf(random, {3, 4}, DType::float64), half_x = to(x, DType::bfloat16);
  CHECK(linear(x, w).dtype() == DType::float32);
  CHECK(sum(half_x).dtype() == DType::bfloat16);
  const AutocastScope scope(DType::bfloat16);
  CHECK(linear(wide, wide_weight).dtype() == DType::float64);
  CHECK(sum(wide).dtype() == DType::float64);
  CHECK(linear(x, w).dtype() == DType::bfloat16);
  {
    const NoAutocastScope off;
    CHECK_FALSE(current_autocast().enabled);
    CHECK(linear(x, w).dtype() == DType::float32);
    CHECK(sum(half_x).dtype() == DType::bfloat16);
    const AutocastScope other(DType::float16);
    CHECK(linear(x, w).dtype() == DType::float16);
  }
  CHECK(linear(x, w).dtype() == DType::bfloat16);
  CHECK(autocast(DType::float16, [&] { return linear(x, w); }).dtype() == DType::float16);
  CHECK(current_autocast() == AutocastState{.enabled = true, .dtype = DType::bfloat16});
  bool elsewhere = true;
  std::thread([&] { elsewhere = current_autocast().enabled; }).join();
  CHECK_FALSE(elsewhere);
  for (const DType wrong : {DType::float32, DType::float64, DType::int64}) {
    CHECK_THROWS_AS(AutocastScope{wrong}, DTypeError);
    CHECK(current_autocast().dtype == DType::bfloat16);
  }
}

TEST_CASE("autocast: the state can be taken along and set again") {
  AutocastState taken;
  {
    const AutocastScope scope(AutocastState{.enabled = true, .dtype = DType::bfloat16, .cache = false});
    taken = current_autocast();
  }
  CHECK_FALSE(current_autocast().enabled);
  const AutocastScope again(taken);
  CHECK(current_autocast() == AutocastState{.enabled = true, .dtype = DType::bfloat16, .cache = false});
}

TEST_CASE("autocast: an exception leaves the state as it was") {
  Generator random(3);
  const Tensor x = leaf(random, {2, 4}), w = leaf(random, {3, 5});
  CHECK_THROWS_AS(autocast(DType::float16, [&] { return linear(x, w); }), ShapeError);
  CHECK_FALSE(current_autocast().enabled);
}

// y = sum(exp(W x + b)): the product in half, the rest in float32. Each number below follows from the rounding of the
// operands, one rounding of the product's sum, and one of each gradient that passes a half tensor.
TEST_CASE("autocast: values and gradients against float64 arithmetic with the roundings written out") {
  for (const DType half : {DType::float16, DType::bfloat16}) {
    Generator random(4);
    const std::int64_t n = 5, in = 7, out = 3;
    const Tensor x = leaf(random, {n, in}), w = leaf(random, {out, in}), b = leaf(random, {out});
    const auto xs = x.values<double>(), ws = w.values<double>(), bs = b.values<double>();
    std::vector<double> dx(xs.size(), 0), dw(ws.size(), 0), db(bs.size(), 0);
    double loss = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t o = 0; o < out; ++o) {
        double y = 0;
        const auto at = [](const std::vector<double>& v, std::int64_t k) { return v[static_cast<std::size_t>(k)]; };
        for (std::int64_t k = 0; k < in; ++k)
          y += rounded(at(xs, i * in + k), half) * rounded(at(ws, o * in + k), half);
        y += rounded(at(bs, o), half);
        loss += std::exp(y);
        for (std::int64_t k = 0; k < in; ++k) {
          dx[static_cast<std::size_t>(i * in + k)] += std::exp(y) * rounded(at(ws, o * in + k), half);
          dw[static_cast<std::size_t>(o * in + k)] += std::exp(y) * rounded(at(xs, i * in + k), half);
        }
        db[static_cast<std::size_t>(o)] += std::exp(y);
      }
    }
    const Tensor result = autocast(half, [&] { return sum(exp(linear(x, w, b))); });
    REQUIRE(result.dtype() == DType::float32);
    result.backward();
    // y is rounded twice (product, then bias), which moves exp(y) by 2 |y| u of itself; dy once more, each sum once.
    const double u = numbers::rounding(half), most = 7 + 1;
    CHECK(std::abs(result.item() - loss) <= 2 * most * u * loss);
    const auto close = [&](const Tensor& gradient, const std::vector<double>& expected) {
      REQUIRE(gradient.dtype() == DType::float32);
      const auto values = gradient.values<double>();
      double scale = 0, worst = 0;
      for (std::size_t i = 0; i < values.size(); ++i) scale = std::max(scale, std::abs(expected[i]));
      for (std::size_t i = 0; i < values.size(); ++i)
        worst = std::max(worst, std::abs(values[i] - expected[i]) / scale);
      CHECK(worst <= (2 * most + 2) * u);
      CHECK(worst > 0);
    };
    close(x.grad(), dx);
    close(w.grad(), dw);
    close(b.grad(), db);
    // What left the half product was half: its gradients are half numbers in float32.
    for (const double value : w.grad().values<double>()) CHECK(value == rounded(value, half));
  }
}

TEST_CASE("autocast: equal, bit for bit, to casts written by hand") {
  Generator random(5);
  const DType half = DType::bfloat16;
  const Tensor x(random.array({2, 3, 8, 8}, DType::float32)), targets = tensor<std::int64_t>({1, 3}, {2});
  const Tensor w1 = leaf(random, {4, 3, 3, 3}), gamma = leaf(random, {4}), beta = leaf(random, {4}),
               w2 = leaf(random, {5, 4 * 36}), bias = leaf(random, {5});
  const std::vector<Tensor> parameters{w1, gamma, beta, w2, bias};
  std::vector<Array> gradients;
  for (const bool by_hand : {false, true}) {
    Tensor loss;
    if (by_hand) {
      const Tensor y = relu(batch_norm(conv2d(to(x, half), to(w1, half)), gamma, beta, {}, {}));
      loss = cross_entropy(to(linear(flatten(y), to(w2, half), to(bias, half)), DType::float32), targets);
    } else {
      const AutocastScope scope(half);
      loss = cross_entropy(linear(flatten(relu(batch_norm(conv2d(x, w1), gamma, beta, {}, {}))), w2, bias), targets);
    }
    loss.backward();
    gradients.push_back(loss.array());
    for (Tensor parameter : parameters) {
      CHECK(parameter.grad().dtype() == DType::float32);
      gradients.push_back(parameter.grad().array());
      parameter.zero_grad();
    }
  }
  for (std::size_t i = 0; i < gradients.size() / 2; ++i)
    CHECK(numbers::same_bits(gradients[i], gradients[i + gradients.size() / 2]));
}

TEST_CASE("autocast: a parameter is cast once, in its module, and the copy lives as long as the outermost scope") {
  for (const char* where : {"cpu", "virtual:cpu"}) {
    CAPTURE(where);
    const Device device = Device::open(where);
    Tensor w;
    {
      const memory::CategoryScope category(Category::parameter);
      const memory::ModuleScope module("layer.0");
      w = ones({256, 128}, {.device = device, .requires_grad = true});
    }
    const Tensor x = ones({32, 128}, {.dtype = DType::float16, .device = device});
    const Bytes parameter = 256 * 128 * 4, copy = parameter / 2;
    std::vector<memory::Tag> copies;
    const auto subscription = device.allocator().subscribe([&](const memory::Event& event) {
      if (event.kind == memory::EventKind::alloc && std::string(event.tag.op) == "autocast")
        copies.push_back(event.tag);
    });
    {
      const AutocastScope scope(DType::float16);
      {
        const AutocastScope inner(DType::float16);
        const Tensor y = linear(x, w);
        CHECK(held(device, Category::parameter) == parameter + copy);
      }
      const Tensor y = linear(x, w) + linear(x, w);
      CHECK(held(device, Category::parameter) == parameter + copy);
      const NoAutocastScope off;
      CHECK(held(device, Category::parameter) == parameter + copy);
    }
    CHECK(held(device, Category::parameter) == parameter);
    REQUIRE(copies.size() == 1);
    CHECK(std::string(copies[0].module) == "layer.0");
    CHECK(copies[0].category == Category::parameter);
    // What backward still needs outlives the scope, and no longer.
    Tensor loss;
    {
      const AutocastScope scope(DType::float16);
      const Tensor still = zeros({32, 128}, {.device = device, .requires_grad = true});
      loss = sum(linear(still, w));
    }
    CHECK(held(device, Category::parameter) == parameter + copy);
    loss.backward();
    CHECK(held(device, Category::parameter) == parameter);
    // Without the cache each use has a copy of its own, an activation like any cast.
    const AutocastScope scope(AutocastState{.enabled = true, .dtype = DType::float16, .cache = false});
    const Tensor y = linear(x, w);
    CHECK(held(device, Category::parameter) == parameter);
  }
}

TEST_CASE("autocast: a kept copy is never stale") {
  Generator random(6);
  Tensor w = leaf(random, {3, 4});
  const Tensor x = leaf(random, {2, 4});
  const AutocastScope scope(DType::bfloat16);
  const auto current = [&] {
    const NoAutocastScope off;
    return linear(to(x, DType::bfloat16), to(w, DType::bfloat16)).values<double>();
  };
  CHECK(linear(x, w).values<double>() == current());
  const auto before = current();
  no_grad([&] { mul_(w, 3.0); });
  CHECK(current() != before);
  CHECK(linear(x, w).values<double>() == current());
  // Another half type in an inner scope.
  CHECK(autocast(DType::float16, [&] { return linear(x, w); }).dtype() == DType::float16);
  CHECK(linear(x, w).values<double>() == current());
}

// A copy made without recording gave the parameter no gradient when it was used again.
TEST_CASE("autocast: a copy made under no_grad is not used where gradients are recorded") {
  Generator random(7);
  const Tensor w = leaf(random, {3, 4}), x(random.array({2, 4}, DType::float32));
  const AutocastScope scope(DType::bfloat16);
  CHECK_FALSE(no_grad([&] { return linear(x, w); }).requires_grad());
  sum(linear(x, w)).backward();
  CHECK(w.grad().defined());
}

TEST_CASE("autocast: one scope around several backward, and one backward inside of it") {
  Generator random(8);
  const Tensor w = leaf(random, {3, 4}), x(random.array({2, 4}, DType::float32));
  const AutocastScope scope(DType::bfloat16);
  sum(linear(x, w)).backward();
  const auto once = w.grad().values<double>();
  sum(linear(x, w)).backward();
  const auto twice = w.grad().values<double>();
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == 2 * once[i]);
}

TEST_CASE("autocast: a user's own op asks with a rule") {
  Generator random(9);
  const Tensor x = leaf(random, {2, 4});
  const OperandCast outside(AutocastRule::half, {&x});
  CHECK_FALSE(static_cast<bool>(outside));
  const AutocastScope scope(DType::bfloat16);
  const OperandCast cast(AutocastRule::half, {&x});
  REQUIRE(static_cast<bool>(cast));
  CHECK(cast(x).dtype() == DType::bfloat16);
  CHECK_FALSE(cast(Tensor()).defined());
  CHECK_FALSE(static_cast<bool>(OperandCast("my_op", {&x})));
  CHECK(autocast_rule("my_op") == AutocastRule::as_it_comes);
}

TEST_CASE("autocast: running out of memory for a copy leaves everything as it was, and the next use works") {
  // Two segments of 2 MiB: the parameter takes 1 MiB, its copy would take half, and 382 KiB are left.
  const Device device = Device::open("virtual:cpu:4MiB");
  const Tensor w = ones({256, 1024}, {.device = device, .requires_grad = true});
  Array ballast(Shape{256, 1024}, DType::float32, device);
  const Tensor x = ones({1, 1024}, {.dtype = DType::bfloat16, .device = device});
  const Array more(Shape{256, 1024}, DType::float32, device), rest(Shape{160, 1024}, DType::float32, device);
  const AutocastScope scope(DType::bfloat16);
  const Bytes before = device.allocator().allocated();
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK_THROWS_AS(linear(x, w), OutOfMemory);
    CHECK(device.allocator().allocated() == before);
    CHECK(current_autocast().enabled);
  }
  ballast = Array();
  CHECK(linear(x, w).dtype() == DType::bfloat16);
}

TEST_CASE("autocast: transposed convolutions in half, losses and spreads in float32, norms of rows as they come") {
  const Tensor x = ones({2, 3, 4}, {.requires_grad = true}), w = ones({3, 2, 2}, {.requires_grad = true});
  const AutocastScope scope(DType::bfloat16);
  const Tensor y = conv_transpose1d(x, w);
  CHECK(y.dtype() == DType::bfloat16);
  const Tensor target = zeros(y.shape());
  for (const Tensor& loss : {mse_loss(y, target), l1_loss(y, target), huber_loss(y, target), smooth_l1_loss(y, target),
                             binary_cross_entropy_with_logits(y, target), kl_div(y, target), variance(y), norm(y)})
    CHECK(loss.dtype() == DType::float32);
  CHECK(nll_loss(transpose(y, 1, 2), zeros({2, 2}, {.dtype = DType::int64})).dtype() == DType::float32);
  const Tensor normalized = layer_norm(y, {5}, ones({5}));
  CHECK(normalized.dtype() == DType::bfloat16);
  CHECK(group_norm(y, 1, ones({2}), zeros({2})).dtype() == DType::bfloat16);
  CHECK(where(greater(y, 0), y, 0.0).dtype() == DType::bfloat16);
  sum(normalized * y).backward();
  CHECK(x.grad().dtype() == DType::float32);
  CHECK(w.grad().dtype() == DType::float32);
}

TEST_CASE("autocast: sums of exponentials and running sums in float32, shapes and activations as they come") {
  const Tensor x = ones({2, 4, 5}, {.dtype = DType::bfloat16, .requires_grad = true});
  const AutocastScope scope(DType::bfloat16);
  for (const Tensor& y : {softplus(x), log_sum_exp(x), log_sum_exp(x, {1}), cumsum(x, 1)})
    CHECK(y.dtype() == DType::float32);
  for (const Tensor& y : {elu(x), gelu_tanh(x), sign(x), max(x), clone(x), flip(x, {1}), tril(x), triu(x)})
    CHECK(y.dtype() == DType::bfloat16);
  CHECK(adaptive_avg_pool1d(x, 3).dtype() == DType::bfloat16);
  sum(log_sum_exp(x, {1})).backward();
  CHECK(x.grad().dtype() == DType::bfloat16);
}
