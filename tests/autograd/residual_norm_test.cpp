// batch_norm_add_relu, and what is computed again instead of kept: the bits of the plain operations, bytes by
// arithmetic on paper, and chains that end.
#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/normalized.h>
#include <mnemo/autograd/offload.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/core/work.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"
#include "cuda_device.h"

using namespace mnemo;
using memory::Bytes;
using memory::Category;

namespace {

constexpr double kEpsilon = 1e-3;

/// Inputs: x, the residual where `added`, weight, bias, and the running statistics where not `training`.
rows::OpRow row_of(const Shape& shape, bool training, bool added) {
  const Shape channels{shape[1]};
  std::vector<rows::Input> inputs{{shape}};
  if (added) inputs.push_back({shape});
  inputs.insert(inputs.end(), {{channels}, {channels}});
  if (!training) inputs.insert(inputs.end(), {{channels, -1, 1, {}, false}, {channels, 0.5, 2, {}, false}});
  const std::size_t w = added ? 2 : 1;
  return {std::string(added ? "batch_norm_add_relu " : "batch_norm_relu ") + shape.text() +
              (training ? " training" : " evaluation"),
          inputs,
          [=](const rows::Tensors& x) {
            const BatchNormOptions options{.training = training, .epsilon = kEpsilon};
            const Tensor mean = training ? Tensor() : x[w + 2], variance = training ? Tensor() : x[w + 3];
            return added ? batch_norm_add_relu(x[0], x[1], x[w], x[w + 1], mean, variance, options)
                         : batch_norm_relu(x[0], x[w], x[w + 1], mean, variance, options);
          },
          [=](const rows::Plains& x) {
            return rows::filled(x[0].sizes, [&](const rows::Index& index) {
              const rows::Index c{index[1]};
              double count = 0, mean = 0, variance = 0;
              if (training) {
                rows::for_each(x[0].sizes, [&](const rows::Index& i) {
                  if (i[1] == index[1]) count += 1, mean += x[0].at(i);
                });
                mean /= count;
                rows::for_each(x[0].sizes, [&](const rows::Index& i) {
                  if (i[1] == index[1]) variance += (x[0].at(i) - mean) * (x[0].at(i) - mean) / count;
                });
              } else {
                mean = x[w + 2].at(c), variance = x[w + 3].at(c);
              }
              const double normal = (x[0].at(index) - mean) / std::sqrt(variance + kEpsilon);
              return std::max(0.0, normal * x[w].at(c) + x[w + 1].at(c) + (added ? x[1].at(index) : 0));
            });
          },
          // Rounded to half, elements fall on the other side of relu, and expanded ones all on its edge.
          0, false, false};
}

}  // namespace

TEST_CASE("op rows: batch_norm_relu and batch_norm_add_relu") {
  std::vector<rows::OpRow> list;
  for (const Shape& shape : {Shape{7, 3}, Shape{2, 3, 5}, Shape{2, 2, 3, 3}, Shape{3, 1, 2, 2, 3}, Shape{0, 3, 2}}) {
    for (const bool added : {false, true})
      for (const bool training : {true, false}) list.push_back(row_of(shape, training, added));
  }
  list[6].large = {{{6, 40, 300}}, {{6, 40, 300}}, {{40}}, {{40}}};
  rows::check(list);
}

namespace {

using Values = std::vector<std::vector<double>>;

/// Blocks of convolution, normalization, addition and relu around which the input goes; the first has a normalized
/// shortcut. Longer than a chain may be.
struct Net {
  Device device;
  DType dtype = DType::float32;
  bool training = true, channels_last = false, region = false, half = false, offload = false, twice = false;
  int blocks = kMostDepth + 3;
  bool lean = false;

  Tensor leaf(const Shape& shape) const {
    return to(randn(shape, {.device = device}), dtype).detach().set_requires_grad(true);
  }

  Values run() const {
    const DeviceScope scope(device);
    manual_seed(7);
    Tensor x = leaf({3, 8, 5, 5});
    if (channels_last) x = Tensor(x.array().channels_last(), true);
    const TensorOptions own{.dtype = dtype == DType::float64 ? dtype : DType::float32, .device = device};
    std::vector<Tensor> leaves{x}, buffers;
    std::vector<std::function<Tensor(const Tensor&)>> list;
    for (int i = 0; i < blocks; ++i) {
      const Tensor w = leaf({8, 8, 1, 1}), gain = leaf({8}), shift = leaf({8}), around = leaf({8, 8, 1, 1});
      const Tensor mean = zeros({8}, own), variance = ones({8}, own);
      leaves.insert(leaves.end(), {w, gain, shift});
      if (i == 0) leaves.push_back(around);
      buffers.insert(buffers.end(), {mean, variance});
      list.push_back([=, this](const Tensor& a) {
        BatchNormOptions options{.training = training};
        const Tensor c = conv2d(a, w);
        options.lean = lean;
        const Tensor r = i == 0 ? batch_norm(conv2d(a, around), {}, {}, mean, variance, options) : a;
        if (lean) return batch_norm_add_relu(c, r, gain, shift, mean, variance, options);
        return relu(batch_norm(c, gain, shift, mean, variance, options) + r);
      });
    }
    const auto body = [&](const Tensor& in) {
      Tensor a = in;
      for (const auto& block : list) a = block(a);
      return a;
    };
    std::optional<AutocastScope> cast;
    if (half) cast.emplace(DType::bfloat16);
    std::optional<OffloadScope> away;
    if (offload) away.emplace(OffloadOptions{.threshold = 1});
    const Tensor loss = sum(pow(to(region ? checkpoint(body, x) : body(x), own.dtype), 2));
    away.reset(), cast.reset();
    loss.backward(twice);
    if (twice) loss.backward();
    Values values{loss.values<double>()};
    for (const Tensor& t : leaves) values.push_back(t.grad().values<double>());
    for (const Tensor& t : buffers) values.push_back(t.values<double>());
    return values;
  }
};

void check_bits(Net net) {
  net.lean = false;
  const Values plain = net.run();
  net.lean = true;
  CHECK(std::isfinite(plain[0][0]));
  CHECK(plain == net.run());
}

}  // namespace

TEST_CASE("batch_norm_add_relu is the plain operations, bit for bit, however it runs") {
  for (int i = 0; i < 64; ++i) {
    CAPTURE(i);
    check_bits({.device = "cpu",
                .training = (i & 1) == 0,
                .channels_last = (i & 2) != 0,
                .region = (i & 4) != 0,
                .half = (i & 8) != 0,
                .offload = (i & 16) != 0,
                .twice = (i & 32) != 0});
  }
  for (const DType dtype : {DType::float64, DType::bfloat16, DType::float16}) {
    CAPTURE(name(dtype));
    check_bits({.device = "cpu", .dtype = dtype});
    check_bits({.device = "cpu", .dtype = dtype, .channels_last = true});
  }
}

TEST_CASE("cuda: batch_norm_add_relu is the plain operations, bit for bit") {
  if (!cuda_device()) return;
  for (const DType dtype : {DType::float64, DType::float32, DType::bfloat16, DType::float16}) {
    for (const bool channels_last : {false, true}) {
      CAPTURE(name(dtype));
      CAPTURE(channels_last);
      check_bits({.device = *cuda_device(), .dtype = dtype, .channels_last = channels_last, .blocks = 2});
    }
  }
}

namespace {

constexpr Bytes kActivation = 8 * 16 * 16 * 16 * 4, kNumbers = 512;  // of 16 channels: 64 bytes, rounded up

struct Chain {
  Tensor gain = ones({16}, {.requires_grad = true}), shift = zeros({16}, {.requires_grad = true}), none;
  Tensor w = randn({16, 16, 1, 1}, {.requires_grad = true});

  Tensor block(const Tensor& x) const { return batch_norm_add_relu(conv2d(x, w), x, gain, shift, none, none); }
};

}  // namespace

TEST_CASE("residual blocks keep the convolution's output, and every result that would be behind the longest chain") {
  for (const char* name : {"virtual:cpu", "cpu"}) {
    CAPTURE(name);
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
    const auto saved = [&] {
      return device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
    };
    manual_seed(3);
    const Chain chain;
    const Tensor x = randn({8, 16, 16, 16});
    const Bytes before = device.allocator().allocated();
    Tensor y = x;
    for (int i = 1; i <= 2 * kMostDepth + 2; ++i) {
      y = chain.block(y);
      // y of block kMostDepth + 1 and of as many more is held. The latest y is there too, and counted if it is held.
      const Bytes kept = i / (kMostDepth + 1);
      const bool last_is_kept = i % (kMostDepth + 1) == 0;
      CHECK(saved() == (i + kept) * kActivation + i * 2 * kNumbers);
      CHECK(device.allocator().allocated() ==
            before + (i + kept + (last_is_kept ? 0 : 1)) * kActivation + i * 2 * kNumbers);
    }
    // Backward computes each of the others once: elements of the normalizations, apart from those of the plain step.
    const Tensor gradient = ones(y.shape());
    const Work start = work_done();
    y.backward(gradient);
    CHECK(saved() == 0);
    const std::int64_t elements = (work_done() - start).elements / (kActivation / 4);
    Tensor plain = x;
    for (int i = 1; i <= 2 * kMostDepth + 2; ++i)
      plain = relu(batch_norm(conv2d(plain, chain.w), chain.gain, chain.shift, chain.none, chain.none) + plain);
    const Work plain_start = work_done();
    plain.backward(gradient);
    // relu's gradient is part of the normalization's in one of them.
    const std::int64_t plain_elements = (work_done() - plain_start).elements / (kActivation / 4);
    CHECK(elements == plain_elements - (2 * kMostDepth + 2) + 2 * kMostDepth);
  }
}

TEST_CASE("a shortcut's normalization that is lean is not kept as a residual either") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const ConvPolicyScope policy({.choice = ConvPolicy::Choice::direct});
  const Chain chain;
  const Tensor x = randn({8, 16, 16, 16});
  for (const bool lean : {false, true}) {
    const Tensor around =
        batch_norm(conv2d(x, chain.w), chain.gain, chain.shift, chain.none, chain.none, {.lean = lean});
    const Tensor y = conv2d(
        batch_norm_add_relu(conv2d(x, chain.w), around, chain.gain, chain.shift, chain.none, chain.none), chain.w);
    // The two convolutions' outputs; the residual unless it is lean; four times two numbers per channel.
    const auto saved = device.allocator().categories()[static_cast<std::size_t>(Category::saved_activation)];
    CHECK(saved == (lean ? 2 : 3) * kActivation + 4 * kNumbers);
  }
}

TEST_CASE("one result that several closures read is computed once while they do") {
  const Tensor x = randn({2, 4, 3, 3}, {.requires_grad = true}), none;
  const Tensor y = batch_norm_relu(x, none, none, none, none);
  const Saved one(y.array()), two(y.array());
  const auto before = work_done();
  const Array a = one.get(), b = two.get();
  CHECK(a.storage() == b.storage());
  CHECK((work_done() - before).elements == y.numel());
  CHECK(a.values<float>() == y.values<float>());
}

TEST_CASE("what a residual result needs again may not be changed in place before backward") {
  const Tensor w = randn({4, 4, 1, 1}, {.requires_grad = true}), none;
  const Tensor input = randn({2, 4, 5, 5});
  for (const bool first : {true, false}) {
    Tensor c = conv2d(input, w), r = conv2d(input, w);
    const Tensor loss = sum(conv2d(batch_norm_add_relu(c, r, none, none, none, none), w));
    no_grad([&] { fill_(first ? c : r, 1); });
    CHECK_THROWS_AS(loss.backward(), GradError);
    CHECK(!w.grad().defined());
  }
}

TEST_CASE("batch_norm_add_relu with a residual of another dtype is what the operations give") {
  manual_seed(2);
  const Tensor x = randn({4, 3, 2}), r = to(randn({4, 3, 2}), DType::float64), none;
  const Tensor y = batch_norm_add_relu(x, r, none, none, none, none);
  CHECK(y.dtype() == DType::float64);
  CHECK(y.values<double>() == relu(batch_norm(x, none, none, none, none) + r).values<double>());
}
