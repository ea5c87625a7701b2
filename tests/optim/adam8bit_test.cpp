// Adam with moments of 8 bits: the algorithm in float64 loops, how far it strays from Adam, and its bytes on paper.
#include <doctest/doctest.h>

#include <mnemo/autograd/ops.h>

#include "optimizers.h"

using namespace optimizers;
using memory::Bytes;
using memory::Category;

namespace {

/// The 256 numbers of arXiv 2110.02861, section 1.3, made from their words.
std::vector<double> map_of(bool with_sign) {
  std::vector<double> map{0, 1};
  for (int zeros = 0; zeros <= 6; ++zeros) {
    const int bits = 6 - zeros + (with_sign ? 0 : 1);
    const double width = 0.9 / (1 << bits);
    for (int k = 0; k < 1 << bits; ++k) {
      const double value = static_cast<float>(std::pow(10.0, -zeros) * (0.1 + width * k + width / 2));
      map.push_back(value);
      if (with_sign) map.push_back(-value);
    }
  }
  std::sort(map.begin(), map.end());
  return map;
}

std::size_t nearest(const std::vector<double>& map, double value) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < map.size(); ++i) best = std::abs(map[i] - value) < std::abs(map[best] - value) ? i : best;
  return best;
}

/// The values of a parameter with coded moments.
struct Coded {
  std::vector<double> values, first = {}, second = {};  // decoded
  int steps = 0;

  void step(const AdamOptions& o, const std::vector<double>& gradient) {
    static const std::vector<double> with_sign = map_of(true), without = map_of(false);
    ++steps;
    for (std::size_t begin = 0; begin < values.size(); begin += 2048) {
      const std::size_t end = std::min(begin + 2048, values.size());
      double largest1 = 0, largest2 = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const double g = gradient[i] + o.weight_decay * values[i];
        first[i] = o.beta1 * first[i] + (1 - o.beta1) * g;
        second[i] = o.beta2 * second[i] + (1 - o.beta2) * g * g;
        values[i] -= o.lr * first[i] / (1 - std::pow(o.beta1, steps)) /
                     (std::sqrt(second[i] / (1 - std::pow(o.beta2, steps))) + o.epsilon);
        largest1 = std::max(largest1, std::abs(first[i]));
        largest2 = std::max(largest2, second[i]);
      }
      const double kept1 = static_cast<float>(largest1), kept2 = static_cast<float>(largest2);
      for (std::size_t i = begin; i < end; ++i) {
        first[i] = kept1 * with_sign[nearest(with_sign, first[i] / kept1)];
        const std::size_t code = nearest(without, second[i] / kept2);
        second[i] = kept2 * without[code == 0 && second[i] > 0 ? 1 : code];
      }
    }
  }
};

}  // namespace

TEST_CASE("adam8bit: 12 steps agree with the algorithm in float64 loops, over whole and broken blocks") {
  numbers::Generator random(1);
  const AdamOptions options{.lr = 0.02, .weight_decay = 0.1};
  Coded expected{.values = any_numbers(random, 5000)};
  expected.first.assign(5000, 0);
  expected.second.assign(5000, 0);
  const Tensor parameter = parameter_of(expected.values, {50, 100}, DType::float64);
  Adam8bit optimizer({parameter}, options);
  for (int step = 0; step < 12; ++step) {
    std::vector<double> gradient = any_numbers(random, 5000);
    for (double& value : gradient) value *= std::pow(10, random.uniform(-5, 1));
    Tensor(parameter).set_grad(parameter_of(gradient, {50, 100}, DType::float64).detach());
    optimizer.step();
    expected.step(options, gradient);
    const auto values = parameter.values<double>();
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(values[i] - expected.values[i]));
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("adam8bit: parameters of fewer than 4096 values are updated as by Adam, bit for bit") {
  numbers::Generator random(2);
  const auto values = any_numbers(random, 4095);
  Tensor one = parameter_of(values, {4095}, DType::float32), other = parameter_of(values, {4095}, DType::float32);
  Adam8bit coded({one});
  Adam plain({other});
  for (int step = 0; step < 3; ++step) {
    one.set_grad(parameter_of(any_numbers(random, 4095), {4095}, DType::float32).detach());
    other.set_grad(one.grad());
    coded.step();
    plain.step();
    CHECK(numbers::same_bits(one.array(), other.array()));
  }
}

namespace {

/// f(w) = sum c (w - t)^2 / 2, the curvatures c spread over `decades` side by side. Root mean square distances from t.
struct Convex {
  double first = 0, plain = 0, coded = 0, apart = 0;
};
Convex descend(double decades) {
  numbers::Generator random(3);
  constexpr std::int64_t kCount = 8192;
  const std::vector<double> target = any_numbers(random, kCount), start = any_numbers(random, kCount);
  std::vector<double> curvature;
  for (std::int64_t i = 0; i < kCount; ++i) curvature.push_back(std::pow(10, decades * random.uniform(-0.5, 0.5)));
  Tensor coded = parameter_of(start, {kCount}, DType::float32), plain = parameter_of(start, {kCount}, DType::float32);
  Adam8bit one({coded}, {.lr = 0.02});
  Adam other({plain}, {.lr = 0.02});
  const auto distance = [&](const Tensor& w) {
    const auto values = w.values<double>();
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += (values[i] - target[i]) * (values[i] - target[i]);
    return std::sqrt(sum / static_cast<double>(kCount));
  };
  Convex result{.first = distance(plain)};
  for (int step = 0; step < 400; ++step) {
    one.set_lr(0.02 * (1 - step / 400.0));
    other.set_lr(one.lr());
    for (Tensor* w : {&coded, &plain}) {
      auto gradient = w->values<double>();
      for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = curvature[i] * (gradient[i] - target[i]);
      w->set_grad(parameter_of(gradient, {kCount}, DType::float32).detach());
    }
    one.step();
    other.step();
    result.apart = std::max(result.apart, std::abs(distance(coded) - distance(plain)));
  }
  result.plain = distance(plain);
  result.coded = distance(coded);
  return result;
}

}  // namespace

TEST_CASE("adam8bit: on convex problems it stays near Adam and ends where Adam ends") {
  for (const double decades : {0.0, 2.0}) {
    const Convex run = descend(decades);
    CHECK(run.first > 0.7);
    CHECK(run.plain < 0.01 * run.first);
    CHECK(run.coded < 0.02 * run.first);
    CHECK(run.apart < 0.05 * run.first);
  }
  // Where one block holds gradients of four decades, the squares span eight, of which the codes have six: the smallest
  // gradients take shorter steps than Adam's.
  const Convex wide = descend(4);
  CHECK(wide.coded < 0.2 * wide.first);
}

// A second moment that is rounded to 0 would divide by epsilon alone: steps of thousands of lr.
TEST_CASE("adam8bit: small gradients beside large ones do not make steps longer than Adam's") {
  numbers::Generator random(4);
  constexpr std::int64_t kCount = 4096;
  std::vector<double> gradient;
  for (std::int64_t i = 0; i < kCount; ++i) gradient.push_back(std::pow(10, random.uniform(-7, 0)));
  const Tensor w = parameter_of(std::vector<double>(kCount, 0), {kCount}, DType::float64);
  Adam8bit optimizer({w}, {.lr = 1});
  double longest = 0;
  auto before = w.values<double>();
  for (int step = 0; step < 50; ++step) {
    Tensor(w).set_grad(parameter_of(gradient, {kCount}, DType::float64).detach());
    optimizer.step();
    const auto after = w.values<double>();
    for (std::size_t i = 0; i < after.size(); ++i) longest = std::max(longest, std::abs(after[i] - before[i]));
    before = after;
  }
  // Adam's steps have the length 1 here; the codes around a small number lie up to a factor of 2.4 apart.
  CHECK(longest < 2.4);
}

TEST_CASE("adam8bit: state to the byte, on virtual:cpu as on cpu") {
  std::vector<std::pair<Bytes, Bytes>> seen[2];
  for (const char* where : {"cpu", "virtual:cpu"}) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      const Device device = Device::open(where);
      const auto subscription =
          device.allocator().subscribe([&, virtually = device.is_virtual()](const memory::Event& event) {
            seen[virtually ? 1 : 0].emplace_back(event.allocated, event.reserved);
          });
      std::vector<Tensor> parameters;
      for (const Shape& shape : {Shape{1000, 1000}, Shape{64, 64}, Shape{4095}, Shape{10}}) {
        parameters.push_back(ones(shape, {.dtype = dtype, .device = device, .requires_grad = true}));
        parameters.back().set_grad(ones(shape, {.dtype = dtype, .device = device}));
      }
      const Bytes before = device.allocator().allocated(), width = size_of(dtype);
      Adam8bit optimizer(parameters);
      for (int step = 0; step < 2; ++step) {
        device.allocator().reset_peak();
        optimizer.step();
        // Twice: a byte per value and four per 2048 values, each in blocks of 512; the two small ones as they are.
        const Bytes state = 2 * ((1'000'448 + 2'048) + (4'096 + 512) + memory::round_up(4095 * width, 512) + 512);
        CHECK(device.allocator().categories()[static_cast<std::size_t>(Category::optimizer_state)] == state);
        CHECK(device.allocator().allocated() == before + state);
        CHECK(device.allocator().peak().allocated == before + state);
      }
    }
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("adam8bit: the same bits on any number of threads and for any strides") {
  Array first;
  for (int threads = 1; threads <= 3; ++threads) {
    const numbers::Threads scope(threads);
    numbers::Generator random(5);
    Tensor parameter(random.array({300, 401}, DType::float32), true);
    Adam8bit optimizer({parameter});
    for (int step = 0; step < 3; ++step) {
      const Array gradient = random.array({401, 300}, DType::float32).transpose(0, 1);
      parameter.set_grad(Tensor(threads == 2 ? gradient.contiguous() : gradient));
      optimizer.step();
    }
    if (threads == 1) first = parameter.array();
    CHECK(numbers::same_bits(parameter.array(), first));
  }
}

TEST_CASE("adam8bit: a classifier learns as with Adam") {
  numbers::Generator random(6);
  const Tensor x(random.array({256, 32}, DType::float32));
  std::vector<std::int64_t> classes;
  const auto xs = x.values<double>();
  for (std::size_t i = 0; i < 256; ++i) classes.push_back(xs[i * 32] + xs[i * 32 + 1] > 0 ? 1 : 0);
  const Tensor targets = tensor<std::int64_t>(classes, {256});
  const auto hidden = any_numbers(random, 256 * 32), head = any_numbers(random, 2 * 256);
  const auto train = [&](bool coded) {
    const Tensor w = parameter_of(hidden, {256, 32}, DType::float32), v = parameter_of(head, {2, 256}, DType::float32);
    std::unique_ptr<Optimizer> optimizer;
    if (coded)
      optimizer = std::make_unique<Adam8bit>(std::vector<Tensor>{w, v}, AdamOptions{.lr = 0.003});
    else
      optimizer = std::make_unique<Adam>(std::vector<Tensor>{w, v}, AdamOptions{.lr = 0.003});
    double last = 0;
    for (int step = 0; step < 60; ++step) {
      optimizer->zero_grad();
      const Tensor loss = cross_entropy(linear(relu(linear(x, w)), v), targets);
      loss.backward();
      optimizer->step();
      last = loss.item();
    }
    return last;
  };
  const double plain = train(false), coded = train(true);
  CHECK(plain < 0.2);
  CHECK(std::abs(coded - plain) < 0.02);
}
