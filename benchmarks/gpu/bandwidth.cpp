#include "bandwidth.h"

#include <utility>

#include <mnemo/mnemo.h>

namespace mnemo::bench {

namespace {

constexpr std::int64_t kClasses = 1024;             // a line of softmax and of sums
constexpr std::int64_t kChannels = 64, kEdge = 32;  // images: (n, 64, 32, 32)
constexpr std::int64_t kInner = kEdge * kEdge;

/// Measures one after another; each frees what it made before the next one.
class Runs {
 public:
  Runs(const Device& device, const ClockOptions& options, DType dtype, memory::Bytes bytes)
      : device_(device), options_(options), dtype_(dtype), bytes_(bytes), count_(bytes / size_of(dtype)) {}

  void elementwise();
  void normalizations();
  void updates();
  void losses();
  void sums();
  void layouts();

  std::vector<Bandwidth> take() { return std::move(list_); }

 private:
  void add(const char* name, const char* formula, double moved, const std::function<void()>& work) {
    list_.push_back({name, formula, dtype_, bytes_, moved, measure(device_, options_, work)});
  }
  double arrays(double number) const { return number * static_cast<double>(bytes_); }
  Array values(const Shape& shape) const {
    return random({.kind = RandomCall::Kind::normal, .low = 0, .high = 1}, shape, dtype_, device_);
  }
  Shape images() const { return {count_ / (kChannels * kInner), kChannels, kEdge, kEdge}; }
  void normalize_images(const Array& x, const char* forward, const char* backward);

  Device device_;
  ClockOptions options_;
  DType dtype_;
  memory::Bytes bytes_;
  std::int64_t count_;
  std::vector<Bandwidth> list_;
};

void Runs::elementwise() {
  const Array a = values({count_}), b = values({count_});
  add("relu", "2 N: x, y", arrays(2), [&] { map(UnaryOp::relu, a); });
  add("affine", "2 N: x, y", arrays(2), [&] { map(UnaryOp::affine, a, {.a = 2, .b = 1}); });
  add("add", "3 N: a, b, y", arrays(3), [&] { map(BinaryOp::add, a, b); });
}

void Runs::normalize_images(const Array& x, const char* forward, const char* backward) {
  const Array weight = full({kChannels}, 1, DType::float32, device_),
              bias = full({kChannels}, 0, DType::float32, device_);
  const Array mean = full({kChannels}, 0, DType::float32, device_);
  const Array variance = full({kChannels}, 1, DType::float32, device_);
  const NormalizeCall call{.batch = x.size(0),
                           .channels = kChannels,
                           .inner = kInner,
                           .x = x,
                           .weight = weight,
                           .bias = bias,
                           .running_mean = mean,
                           .running_variance = variance,
                           .y = {},
                           .mean = {},
                           .inverse_deviation = {}};
  add(forward, "3 N: x twice, y", arrays(3), [&] {
    NormalizeCall again = call;
    normalize(again);
  });
  NormalizeCall done = call;
  normalize(done);
  const Array grad = map(UnaryOp::affine, x, {.a = 0.5, .b = 0});  // in the layout of x
  add(backward, "5 N: dy and x twice, dx", arrays(5), [&] {
    NormalizeGradientCall gradient{.batch = x.size(0),
                                   .channels = kChannels,
                                   .inner = kInner,
                                   .grad = grad,
                                   .x = x,
                                   .weight = weight,
                                   .mean = done.mean,
                                   .inverse_deviation = done.inverse_deviation,
                                   .dx = Array::like(x),
                                   .dweight = Array::like(weight),
                                   .dbias = Array::like(bias)};
    normalize_gradient(gradient);
  });
}

void Runs::normalizations() {
  const Array x = values(images());
  normalize_images(x, "batch norm, training", "batch norm's gradient");
  normalize_images(x.channels_last(), "batch norm, training, channels last", "batch norm's gradient, channels last");
}

void Runs::updates() {
  Tensor parameter(values({count_}), true);
  parameter.set_grad(Tensor(values({count_})));
  {
    optim::Adam adam({parameter});
    add("Adam", "7 N: parameter and both moments read and written, gradient", arrays(7), [&] { adam.step(); });
  }
  optim::SGD sgd({parameter}, {.lr = 1e-6, .momentum = 0.9});
  add("SGD with momentum", "5 N: parameter and momentum read and written, gradient", arrays(5), [&] { sgd.step(); });
}

void Runs::losses() {
  const std::int64_t rows = count_ / kClasses;
  const Array logits = values({rows, kClasses});
  add("softmax", "2 N: x, y", arrays(2), [&] { softmax(logits, 1, false); });
  const Tensor targets = randint(0, kClasses, {rows}, {.dtype = DType::int64, .device = device_});
  // Targets are checked here, once: that waits for the device.
  const CrossEntropyCall call = cross_entropy_problem(logits, targets.array(), -100);
  const double sides = 12.0 * static_cast<double>(rows);  // an int64 target and a float32 loss for each row
  add("cross entropy", "N + 12 per row: logits; target, loss", arrays(1) + sides,
      [&] { cross_entropy(call, logits, targets.array()); });
  const Array grad = full({rows}, 1, DType::float32, device_);
  add("cross entropy's gradient", "2 N + 12 per row: logits, their gradient; target, loss's gradient",
      arrays(2) + sides, [&] { cross_entropy_gradient(call, grad, logits, targets.array()); });
}

void Runs::sums() {
  const std::int64_t rows = count_ / kClasses;
  const Array x = values({rows, kClasses});
  const double size = size_of(dtype_);
  add("sum over all", "N: x", arrays(1), [&] { reduce(ReduceOp::sum, x, 0b11); });
  add("sum of each row of 1024", "N + an element per row: x, y", arrays(1) + size * static_cast<double>(rows),
      [&] { reduce(ReduceOp::sum, x, 0b10); });
  add("sum of each of 1024 columns (bias gradient of linear)", "N: x", arrays(1),
      [&] { reduce(ReduceOp::sum, x, 0b01); });
  const Array image = x.reshape({-1, kChannels, kInner});
  add("sum of each of 64 channels (bias gradient of a convolution)", "N: x", arrays(1),
      [&] { reduce(ReduceOp::sum, image, 0b101); });
}

void Runs::layouts() {
  const Array x = values(images());
  add("to channels last", "2 N: x, y", arrays(2), [&] { x.channels_last(); });
  const Array innermost = x.channels_last();
  add("from channels last", "2 N: x, y", arrays(2), [&] { innermost.contiguous(); });
}

}  // namespace

Bandwidth copy_bandwidth(const Device& device, const ClockOptions& options, memory::Bytes bytes) {
  const Array from = full({bytes / 4}, 1, DType::float32, device), to = full({bytes / 4}, 0, DType::float32, device);
  return {
      "copy", "2 N: from, to", DType::float32, bytes, 2.0 * static_cast<double>(bytes), measure(device, options, [&] {
        copy_into(from, to);
      })};
}

std::vector<Bandwidth> bandwidths(const Device& device, const ClockOptions& options, memory::Bytes bytes) {
  std::vector<Bandwidth> list;
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    Runs runs(device, options, dtype, bytes);
    runs.elementwise();
    runs.normalizations();
    runs.updates();
    runs.losses();
    runs.sums();
    runs.layouts();
    for (Bandwidth& one : runs.take()) list.push_back(std::move(one));
  }
  return list;
}

}  // namespace mnemo::bench
