// Activations that keep less for backward: the same bits as the plain operations, and bytes by arithmetic on paper.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;
using memory::Bytes;
using memory::Category;

namespace {

using Values = std::vector<std::vector<double>>;

enum class How { plain, lean };

/// Convolution, normalization, relu twice, a pooling and a linear head, all in one layout and dtype.
struct Net {
  Device device;
  DType dtype = DType::float32;
  bool training = true, affine = true, channels_last = false, region = false, half = false;
  How how = How::plain;

  Tensor leaf(const Shape& shape) const {
    return to(randn(shape, {.device = device}), dtype).detach().set_requires_grad(true);
  }

  Values run() const {
    manual_seed(7);
    Tensor x = leaf({4, 3, 9, 9}), w1 = leaf({8, 3, 3, 3}), w2 = leaf({8, 8, 3, 3}), head = leaf({5, 8});
    if (channels_last) x = Tensor(x.array().channels_last(), true);
    Tensor gain = leaf({8}), shift = leaf({8});
    const Tensor weight = affine ? gain : Tensor(), bias = affine ? shift : Tensor();
    const TensorOptions own{.dtype = dtype == DType::float64 ? dtype : DType::float32, .device = device};
    const Tensor mean = zeros({8}, own), variance = ones({8}, own);
    const auto norm = [&](const Tensor& c) {
      const BatchNormOptions options{.training = training};
      if (how == How::lean) return batch_norm_relu(c, weight, bias, mean, variance, options);
      return relu(batch_norm(c, weight, bias, mean, variance, options));
    };
    const auto body = [&](const Tensor& a) {
      const Tensor y = norm(conv2d(a, w1, {}, {.padding = 1}));
      // Read by a convolution, by a product and through a view.
      const Tensor z = norm(conv2d(y, w2, {}, {.padding = 1})) * y + reshape(permute(y, {0, 1, 3, 2}), {4, 8, 9, 9});
      return max_pool2d(how == How::lean ? relu_bits(z) : relu(z), {.kernel = 2});
    };
    std::optional<AutocastScope> scope;
    if (half) scope.emplace(DType::bfloat16);
    const Tensor pooled = region ? checkpoint(body, x) : body(x);
    Tensor loss = sum(pow(linear(mnemo::mean(pooled, {2, 3}), head), 2));
    scope.reset();
    if (!training && !region) fill_(const_cast<Tensor&>(mean), 3);  // what evaluation used stays what it was
    loss.backward();
    Values values{loss.values<double>()};
    for (const Tensor& t : {x, w1, w2, head}) values.push_back(t.grad().values<double>());
    if (affine) values.push_back(gain.grad().values<double>()), values.push_back(shift.grad().values<double>());
    values.push_back(mean.values<double>()), values.push_back(variance.values<double>());
    return values;
  }
};

}  // namespace

TEST_CASE("batch_norm_relu and relu_bits are the plain operations, bit for bit") {
  for (int i = 0; i < 32; ++i) {
    CAPTURE(i);
    Net net{.device = "cpu",
            .training = (i & 1) == 0,
            .affine = (i & 2) == 0,
            .channels_last = (i & 4) != 0,
            .region = (i & 8) != 0,
            .half = (i & 16) != 0};
    const Values plain = net.run();
    net.how = How::lean;
    const Values lean = net.run();
    CHECK(std::isfinite(plain[0][0]));
    CHECK(plain == lean);
  }
  for (const DType dtype : {DType::float64, DType::bfloat16, DType::float16}) {
    CAPTURE(name(dtype));
    Net net{.device = "cpu", .dtype = dtype};
    const Values plain = net.run();
    net.how = How::lean;
    CHECK(plain == net.run());
  }
}

TEST_CASE("normalizations with an activation on all shapes, with gaps, and where there is nothing") {
  using Op = std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)>;
  const Op rectified = [](auto& x, auto& w, auto& b) { return batch_norm_relu(x, w, b, {}, {}); };
  const Op rectified_plain = [](auto& x, auto& w, auto& b) { return relu(batch_norm(x, w, b, {}, {})); };
  const Op leaky = [](auto& x, auto& w, auto& b) { return batch_norm_leaky_relu(x, w, b, {}, {}, {.slope = 0.2}); };
  const Op leaky_plain = [](auto& x, auto& w, auto& b) { return leaky_relu(batch_norm(x, w, b, {}, {}), 0.2); };
  for (const Shape& shape : {Shape{7, 3}, Shape{2, 3, 5}, Shape{3, 1, 2, 2, 3}, Shape{1, 2, 4}, Shape{0, 3, 2},
                             Shape{4, 0}, Shape{6, 40, 300}}) {
    for (const bool gaps : {false, true}) {
      CAPTURE(shape.text());
      const auto run = [&](const Op& op) {
        manual_seed(9);
        const TensorOptions wide{.dtype = DType::float64};
        Dims doubled;
        for (int axis = 0; axis < shape.rank(); ++axis) doubled.push_back(shape[axis] * (axis == 0 && gaps ? 2 : 1));
        Tensor x = randn(Shape(doubled), wide), w = rand({shape[1]}, wide) + 0.5, b = randn({shape[1]}, wide);
        for (Tensor* t : {&x, &w, &b}) *t = t->detach().set_requires_grad(true);
        const Tensor y = op(gaps ? slice(x, 0, 0, 2 * shape[0], 2) : x, w, b);
        sum(y * randn(shape, wide)).backward();
        std::vector<double> all = y.values<double>();
        for (const Tensor& t : {x, w, b})
          for (const double value : t.grad().values<double>()) all.push_back(value);
        return all;
      };
      CHECK(run(rectified) == run(rectified_plain));
      const auto got = run(leaky), expected = run(leaky_plain);
      REQUIRE(got.size() == expected.size());
      double worst = 0;
      for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - expected[i]));
      CHECK(worst < 1e-10);
    }
  }
}

TEST_CASE("conv -> batch_norm_relu -> conv keeps the convolution's output, and not the result") {
  constexpr Bytes activation = 8 * 16 * 16 * 16 * 4, numbers = 512;  // of 16 channels: 64 bytes, rounded up
  for (const char* name : {"virtual:cpu", "cpu"}) {
    CAPTURE(name);
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
    const Tensor x = randn({8, 16, 16, 16}), w1 = randn({16, 16, 3, 3}, {.requires_grad = true}),
                 w2 = randn({16, 16, 3, 3}, {.requires_grad = true}), none;
    const Tensor gain = ones({16}, {.requires_grad = true}), shift = zeros({16}, {.requires_grad = true});
    const auto saved = [&] {
      return device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
    };
    const Bytes before = device.allocator().allocated();
    const auto forward = [&](bool lean) {
      const Tensor c = conv2d(x, w1, {}, {.padding = 1});
      const Tensor y =
          lean ? batch_norm_relu(c, gain, shift, none, none) : relu(batch_norm(c, gain, shift, none, none));
      return conv2d(y, w2, {}, {.padding = 1});
    };
    {
      const Tensor y = forward(false);
      CHECK(saved() == 2 * activation + 2 * numbers);
      CHECK(device.allocator().allocated() == before + 3 * activation + 2 * numbers);
    }
    {
      const Tensor y = forward(true);
      CHECK(saved() == activation + 2 * numbers);
      CHECK(device.allocator().allocated() == before + 2 * activation + 2 * numbers);
    }
    // Backward: what is kept, the gradient of the second convolution's output, and the result, computed again, with
    // the gradient of it. Then the normalized values in place of the result.
    Tensor y = forward(true);
    const Tensor start = ones(y.shape());
    y = sum(y);
    const Bytes at_start = device.allocator().allocated();
    CHECK(at_start == before + activation + 2 * numbers + activation + 512);  // c, `start`, the sum
    device.allocator().reset_peak();
    y.backward();
    CHECK(saved() == 0);
    const Bytes weights = 16 * 16 * 9 * 4;
    const auto gradients = device.allocator().categories()[static_cast<std::size_t>(Category::gradient)];
    CHECK(gradients == 2 * weights + 2 * numbers);
    CHECK(device.allocator().allocated() == before + gradients + activation + 512);
    // c; y again, its gradient and that of the sum's input; the weights' gradient
    CHECK(device.allocator().peak().allocated <= at_start + 3 * activation + weights + 4 * 512);
  }
}

TEST_CASE("relu_bits keeps an eighth of a byte per element, also in place") {
  for (const char* name : {"virtual:cpu", "cpu"}) {
    const Device device = Device::open(name);
    const Tensor x = randn({1 << 16}, {.device = device, .requires_grad = true});
    const Bytes before = device.allocator().allocated();
    constexpr Bytes bits = (1 << 16) / 8;
    {
      const Tensor y = sum(relu_bits(x));
      CHECK(device.allocator().allocated() == before + bits + 512);
      CHECK(device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)] == bits);
    }
    Tensor y = x * 2.0;
    const Bytes with_y = device.allocator().allocated();
    relu_bits_(y);
    CHECK(device.allocator().allocated() == with_y + bits);
    sum(y).backward();
    if (!device.is_virtual()) {
      const auto values = x.values<float>(), gradient = x.grad().values<float>();
      int wrong = 0;
      for (std::size_t i = 0; i < values.size(); ++i) wrong += gradient[i] != (values[i] > 0 ? 2.f : 0.f);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("relu_bits on views, odd counts, zeros and NaN does as relu") {
  const auto gradient = [](const std::function<Tensor(const Tensor&)>& op, DType dtype) {
    std::vector<float> numbers;
    for (int i = 0; i < 3 * 7 * 5; ++i) numbers.push_back(static_cast<float>((i * 37) % 11 - 5));
    numbers[3] = std::nanf("");
    const Tensor x = to(tensor(numbers, {3, 7, 5}), dtype).detach().set_requires_grad(true);
    const Tensor cut = slice(transpose(x, 0, 2), 1, 1, 6, 2);  // (5, 3, 3) with gaps
    const Tensor y = op(cut);
    sum(y * to(rand({5, 3, 3}), dtype)).backward();
    std::vector<double> result = x.grad().values<double>();
    for (const double value : y.values<double>()) result.push_back(std::isnan(value) ? 1e9 : value);
    return result;
  };
  const auto in_place = [](const Tensor& cut) {
    Tensor y = cut * 1.0;
    return relu_bits_(y);
  };
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    manual_seed(3);
    const auto plain = gradient([](const Tensor& x) { return relu(x); }, dtype);
    manual_seed(3);
    CHECK(plain == gradient([](const Tensor& x) { return relu_bits(x); }, dtype));
    manual_seed(3);
    CHECK(plain == gradient(in_place, dtype));
  }
}

TEST_CASE("what batch_norm_relu needs again may not be changed in place before backward") {
  const Tensor w = randn({4, 4, 1, 1}, {.requires_grad = true});
  Tensor c = conv2d(randn({2, 4, 5, 5}), w);
  const Tensor y = sum(conv2d(batch_norm_relu(c, {}, {}, {}, {}), w));
  no_grad([&] { fill_(c, 1); });
  CHECK_THROWS_AS(y.backward(), GradError);
  CHECK(!w.grad().defined());

  // Nor the statistics that evaluation in a region uses, whichever operation it is.
  for (const bool lean : {false, true}) {
    const Tensor mean = zeros({4}), variance = ones({4}), in = randn({2, 4, 5, 5}, {.requires_grad = true});
    const auto norm = [&](const Tensor& a) {
      return lean ? batch_norm_relu(a, {}, {}, mean, variance, {.training = false})
                  : relu(batch_norm(a, {}, {}, mean, variance, {.training = false}));
    };
    const Tensor loss = sum(checkpoint(norm, in));
    Tensor handle = mean;
    fill_(handle, 1);
    CHECK_THROWS_AS(loss.backward(), GradError);
  }

  // Changed itself, the result is kept as it then is.
  const auto run = [&](bool lean) {
    const Tensor in = conv2d(ones({2, 4, 5, 5}) * rand({1, 4, 5, 1}), w);
    Tensor r = lean ? batch_norm_relu(in, {}, {}, {}, {}) : relu(batch_norm(in, {}, {}, {}, {}));
    r = r * 1.0;
    mul_(r, 0.5);
    w.node()->grad = {};
    sum(conv2d(r, w)).backward();
    return w.grad().values<float>();
  };
  manual_seed(1);
  const auto plain = run(false);
  manual_seed(1);
  CHECK(plain == run(true));
}

namespace {

/// leaky_relu of batch normalization in float64, and its gradient by finite differences of a weighted sum.
struct Reference {
  std::int64_t n, c, inner;
  double slope;

  double weighted(const std::vector<double>& x, const std::vector<double>& weight, const std::vector<double>& bias,
                  const std::vector<double>& factors) const {
    double total = 0;
    for (std::int64_t k = 0; k < c; ++k) {
      const auto each = [&](const auto& body) {
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < inner; ++j) body(static_cast<std::size_t>((i * c + k) * inner + j));
      };
      double mean = 0, variance = 0;
      each([&](std::size_t at) { mean += x[at]; });
      mean /= static_cast<double>(n * inner);
      each([&](std::size_t at) { variance += (x[at] - mean) * (x[at] - mean); });
      variance /= static_cast<double>(n * inner);
      each([&](std::size_t at) {
        const auto channel = static_cast<std::size_t>(k);
        const double z = (x[at] - mean) / std::sqrt(variance + 1e-5) * weight[channel] + bias[channel];
        total += factors[at] * (z > 0 ? z : slope * z);
      });
    }
    return total;
  }
};

}  // namespace

TEST_CASE("batch_norm_leaky_relu against finite differences in float64, within its stated bound in other dtypes") {
  constexpr std::int64_t n = 3, c = 4, inner = 6;
  const Reference reference{n, c, inner, 0.1};
  manual_seed(11);
  const TensorOptions wide{.dtype = DType::float64};
  const Tensor x0 = randn({n, c, 2, 3}, wide), factors = randn({n, c, 2, 3}, wide);
  const std::vector<double> weight{1.5, -0.7, 0.25, 2}, bias{0.3, -1, 0.1, 0};
  std::vector<double> numbers[3] = {x0.values<double>(), weight, bias};
  std::vector<double> expected;
  for (auto& list : numbers) {
    for (double& number : list) {
      const double before = number, step = 1e-5;
      number = before + step;
      const double above = reference.weighted(numbers[0], numbers[1], numbers[2], factors.values<double>());
      number = before - step;
      const double below = reference.weighted(numbers[0], numbers[1], numbers[2], factors.values<double>());
      number = before;
      expected.push_back((above - below) / (2 * step));
    }
  }
  // The bound of the normalized values times the sum of the gradients' magnitudes, generously.
  for (const DType dtype : {DType::float64, DType::float32}) {
    const double bound = dtype == DType::float64 ? 1e-7 : 2e-5;
    CAPTURE(name(dtype));
    const auto leaf = [dtype](const Tensor& t) { return to(t, dtype).detach().set_requires_grad(true); };
    Tensor x = leaf(x0), gain = leaf(tensor(weight, {c})), shift = leaf(tensor(bias, {c}));
    const Tensor y = batch_norm_leaky_relu(x, gain, shift, {}, {}, {.slope = 0.1});
    sum(y * to(factors, dtype)).backward();
    std::vector<double> got;
    for (const Tensor& t : {x, gain, shift})
      for (const double value : t.grad().values<double>()) got.push_back(value);
    REQUIRE(got.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::fabs(got[i] - expected[i]) / (1 + std::fabs(expected[i])));
    CHECK(worst < bound);
  }
}

TEST_CASE("batch_norm_leaky_relu: small weights under large biases cost what the stated bound allows, and not more") {
  constexpr double eps = 1.1920928955078125e-07, slope = 0.1;  // of float32
  manual_seed(4);
  const std::vector<float> weight{0.01f, -0.02f}, bias{10, -5};
  const Tensor x0 = randn({4, 2, 50}), factors = randn({4, 2, 50});
  const auto gradient = [&](bool inverted, DType dtype) {
    const Tensor x = to(x0, dtype), shift = to(tensor(bias, {2}), dtype);
    const Tensor gain = to(tensor(weight, {2}), dtype).detach().set_requires_grad(true);
    const Tensor y = inverted ? batch_norm_leaky_relu(x, gain, shift, {}, {}, {.slope = slope})
                              : leaky_relu(batch_norm(x, gain, shift, {}, {}), slope);
    sum(y * to(factors, dtype)).backward();
    return std::pair(gain.grad().values<double>(), y.values<double>());
  };
  const auto [expected, y] = gradient(false, DType::float64);
  const std::vector<double> got = gradient(true, DType::float32).first, g = factors.values<double>();
  for (std::size_t c = 0; c < 2; ++c) {
    double bound = 0;  // a weight's gradient is the sum of what arrives times the normalized values
    for (std::size_t n = 0; n < 4; ++n) {
      for (std::size_t i = (2 * n + c) * 50; i < (2 * n + c) * 50 + 50; ++i) {
        const double z = y[i] > 0 ? y[i] : y[i] / slope, arrives = std::fabs(g[i]) * (y[i] > 0 ? 1 : slope);
        bound += arrives * 3 * eps * (std::fabs(z) + std::fabs(static_cast<double>(bias[c]))) / std::fabs(weight[c]);
      }
    }
    const double error = std::fabs(got[c] - expected[c]);
    CHECK(error < bound);
    CHECK(error > 1e-9);  // there is something to bound
    CHECK(bound < 0.2);
  }
}

TEST_CASE("batch_norm_leaky_relu keeps its result alone, raises tiny weights, and refuses what cannot be taken back") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor w = randn({16, 16, 3, 3}, {.requires_grad = true}), none;
  const Tensor x = randn({8, 16, 16, 16});
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
  };
  constexpr Bytes activation = 8 * 16 * 16 * 16 * 4;
  const Tensor y = conv2d(batch_norm_leaky_relu(conv2d(x, w, {}, {.padding = 1}), none, none, none, none), w);
  CHECK(saved() == activation + 512);  // the result, which the convolution keeps too, and the deviations
  CHECK_THROWS_AS(batch_norm_leaky_relu(x, none, none, none, none, {.slope = 0}), ShapeError);

  const DeviceScope real{Device("cpu")};
  const Tensor gain = tensor(std::vector<float>{0.f, -1e-9f, 1e-9f, -2.f}, {4}, {}, true);
  const Tensor taken = tensor(std::vector<float>{0.5f, -0.5f, 0.5f, -2.f}, {4});
  Tensor in = randn({6, 4, 3}, {.requires_grad = true});
  const Tensor raised = batch_norm_leaky_relu(in, gain, none, none, none, {.least_weight = 0.5});
  CHECK(raised.values<float>() == leaky_relu(batch_norm(in, taken, none, none, none)).values<float>());
  sum(raised * raised).backward();
  for (const double value : in.grad().values<double>()) CHECK(std::isfinite(value));
  const Tensor again = Tensor(in.array(), true);
  const Tensor plain = leaky_relu(batch_norm(again, taken, none, none, none));
  sum(plain * plain).backward();
  const auto got = in.grad().values<double>(), expected = again.grad().values<double>();
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - expected[i]));
  CHECK(worst < 1e-5);
}
