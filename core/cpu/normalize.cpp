#include <cmath>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Sums in double over independent lanes, so that the compiler can use vectors; lanes depend on the position alone.
class LaneSum {
 public:
  /// Adds value(0), ..., value(count - 1).
  template <class Value>
  void add(std::int64_t count, const Value& value) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes_[lane] += value(i + lane);
    }
    for (; i < count; ++i) lanes_[i % kLanes] += value(i);
  }
  double total() const {
    double sum = 0;
    for (const double lane : lanes_) sum += lane;
    return sum;
  }

 private:
  static constexpr std::int64_t kLanes = 16;
  double lanes_[kLanes] = {};
};

/// An array of per-channel numbers of whatever floating dtype.
FloatingElements channel_values(const Array& array) {
  return {array.storage()->data() + array.layout().offset * size_of(array.dtype()), array.dtype()};
}

double channel_value(const Array& array, std::int64_t channel, double otherwise) {
  return array.defined() ? channel_values(array)[channel] : otherwise;
}

void set_channel_value(const Array& array, std::int64_t channel, double value) {
  if (array.defined()) channel_values(array).set(channel, value);
}

/// Calls body(channel) on several threads.
template <class Body>
void for_each_channel(std::int64_t channels, std::int64_t elements, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, elements));
  parallel_for(channels, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t channel = begin; channel < end; ++channel) body(channel);
  });
}

struct Statistics {
  double mean = 0, variance = 0;
};

/// Mean and biased variance of this batch, in two passes; running ones are updated.
template <class E>
Statistics batch_statistics(const NormalizeCall& call, std::int64_t channel) {
  using T = compute_type<E>;
  const std::int64_t count = call.batch * call.inner;
  if (count == 0) return {};
  auto planes = [&](const auto& visit) {
    for (std::int64_t n = 0; n < call.batch; ++n) visit(call.x.data<E>() + (n * call.channels + channel) * call.inner);
  };
  LaneSum sum, squares;
  planes([&](const E* x) { sum.add(call.inner, [&](std::int64_t i) { return static_cast<double>(cast<T>(x[i])); }); });
  const double mean = sum.total() / static_cast<double>(count);
  planes([&](const E* x) {
    squares.add(call.inner, [&](std::int64_t i) {
      const double difference = static_cast<double>(cast<T>(x[i])) - mean;
      return difference * difference;
    });
  });
  const double variance = squares.total() / static_cast<double>(count);
  const double unbiased = variance * (count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0);
  auto update = [&](const Array& running, double value) {
    set_channel_value(running, channel,
                      (1 - call.momentum) * channel_value(running, channel, 0) + call.momentum * value);
  };
  update(call.running_mean, mean);
  update(call.running_variance, unbiased);
  return {mean, variance};
}

template <class E>
void normalize_channel(const NormalizeCall& call, std::int64_t channel) {
  using T = compute_type<E>;
  const Statistics statistics = call.training ? batch_statistics<E>(call, channel)
                                              : Statistics{channel_values(call.running_mean)[channel],
                                                           channel_values(call.running_variance)[channel]};
  const double inverse_deviation = 1 / std::sqrt(statistics.variance + call.epsilon);
  set_channel_value(call.mean, channel, statistics.mean);
  set_channel_value(call.inverse_deviation, channel, inverse_deviation);
  const T mean = static_cast<T>(statistics.mean);
  const T scale = static_cast<T>(inverse_deviation * channel_value(call.weight, channel, 1));
  const T shift = static_cast<T>(channel_value(call.bias, channel, 0));
  for (std::int64_t n = 0; n < call.batch; ++n) {
    const std::int64_t at = (n * call.channels + channel) * call.inner;
    const E* x = call.x.data<E>() + at;
    E* y = call.y.data<E>() + at;
    for (std::int64_t i = 0; i < call.inner; ++i)
      y[i] = cast<E>(static_cast<T>((cast<T>(x[i]) - mean) * scale + shift));
  }
}

template <class E>
void normalize_gradient_channel(const NormalizeGradientCall& call, std::int64_t channel) {
  using T = compute_type<E>;
  const double mean = channel_values(call.mean)[channel];
  const double inverse_deviation = channel_values(call.inverse_deviation)[channel];
  const std::int64_t count = call.batch * call.inner;
  LaneSum grads, products;  // products with the normalized input, but for the inverse deviation
  if (call.training || call.dweight.defined() || call.dbias.defined()) {
    for (std::int64_t n = 0; n < call.batch; ++n) {
      const std::int64_t at = (n * call.channels + channel) * call.inner;
      const E* grad = call.grad.data<E>() + at;
      const E* x = call.x.data<E>() + at;
      grads.add(call.inner, [&](std::int64_t i) { return static_cast<double>(cast<T>(grad[i])); });
      products.add(call.inner, [&](std::int64_t i) {
        return static_cast<double>(cast<T>(grad[i])) * (static_cast<double>(cast<T>(x[i])) - mean);
      });
    }
  }
  set_channel_value(call.dweight, channel, products.total() * inverse_deviation);
  set_channel_value(call.dbias, channel, grads.total());
  if (!call.dx.defined() || count == 0) return;

  // dx = scale * (grad - mean of grad - normalized x * mean of (grad * normalized x)); the statistics move only in
  // training.
  const T scale = static_cast<T>(inverse_deviation * channel_value(call.weight, channel, 1));
  const double share = call.training ? 1 / static_cast<double>(count) : 0;
  const T center = static_cast<T>(mean);
  const T grad_mean = static_cast<T>(grads.total() * share);
  const T slope = static_cast<T>(products.total() * share * inverse_deviation * inverse_deviation);
  for (std::int64_t n = 0; n < call.batch; ++n) {
    const std::int64_t at = (n * call.channels + channel) * call.inner;
    const E* grad = call.grad.data<E>() + at;
    const E* x = call.x.data<E>() + at;
    E* dx = call.dx.data<E>() + at;
    for (std::int64_t i = 0; i < call.inner; ++i) {
      dx[i] = cast<E>(static_cast<T>(scale * (cast<T>(grad[i]) - grad_mean - (cast<T>(x[i]) - center) * slope)));
    }
  }
}

}  // namespace

void CpuBackend::normalize(const NormalizeCall& call) {
  visit_floating(call.x.dtype(), [&](auto zero) {
    for_each_channel(call.channels, call.batch * call.inner,
                     [&](std::int64_t channel) { normalize_channel<decltype(zero)>(call, channel); });
  });
}

void CpuBackend::normalize_gradient(const NormalizeGradientCall& call) {
  visit_floating(call.x.dtype(), [&](auto zero) {
    for_each_channel(call.channels, call.batch * call.inner,
                     [&](std::int64_t channel) { normalize_gradient_channel<decltype(zero)>(call, channel); });
  });
}

}  // namespace mnemo::cpu
